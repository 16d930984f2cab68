//! A thousand deliveries at once, a third of them again: each push is one job, also when the gateway is
//! killed in the middle.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde_json::Value;
use tests::{
    Api, Cluster, Commit, Delivery, FakeForge, Service, delivery, ledger::Address, repository::NO_COMMIT,
    service::register,
};
use tokio::sync::Notify;

/// Deliveries in all.
const COUNT: usize = 1000;
/// Of ten deliveries three are there already: one or two under the same id, the others under another.
const DISTINCT: usize = COUNT * 7 / 10;
/// Senders at once.
const AT_ONCE: usize = 64;
/// Answers after which the gateway is killed.
const KILLED_AFTER: usize = 400;
/// Nobody takes the jobs, and all of them may wait.
const SETTINGS: [(&str, &str); 4] = [
    ("GITFAAS_WORKER_LABELS", "nobody"),
    ("GITFAAS_MAX_QUEUED_PER_USER", "10000"),
    ("GITFAAS_MAX_OWNERS", "2"),
    ("GITFAAS_MAX_DELIVERIES_PER_MINUTE", "100000"),
];

/// A delivery, and which push it tells of.
type Numbered = (usize, Delivery);

/// The flood, so mixed that equals are near each other.
async fn flood(forge: &FakeForge, api: &Api) -> (String, Vec<Numbered>) {
    let repository = forge.repository("flood").await;
    let registration = register(api, &repository.url).await;
    let mut all: Vec<Numbered> = Vec::new();
    for push in 0..DISTINCT {
        let commit = Commit {
            reference: format!("refs/heads/b{push}"),
            before: NO_COMMIT.to_owned(),
            sha: format!("{:040x}", push + 1),
            told: String::new(),
        };
        let first = Delivery::push(&repository, &commit, &registration.secret);
        all.push((push, first.clone()));
        let more = COUNT - DISTINCT;
        // Half of those that come again come under the same id.
        if push < more / 2 {
            all.push((push, first));
        } else if push < more {
            all.push((push, Delivery { id: uuid::Uuid::now_v7().to_string(), ..first }));
        }
    }
    assert_eq!(all.len(), COUNT);
    // Interleaved, as a shuffle with a fixed seed would: equals are about ten apart.
    let mut order: Vec<usize> = (0..COUNT).collect();
    order.sort_by_key(|index| (index / 20, index * 7 % 20));
    let mixed = order.into_iter().map(|index| all[index].clone()).collect();
    (delivery::path(&registration.webhook_url), mixed)
}

/// Sends all, and keeps the answer of each.
async fn send(
    api: &Api,
    path: &str,
    all: &[Numbered],
    answered: &(AtomicUsize, Notify),
) -> Vec<Option<(StatusCode, Value)>> {
    let sending = all.iter().map(async |(_, delivery)| {
        let answer = delivery.try_send(api, path).await;
        if answer.is_some() && answered.0.fetch_add(1, Ordering::Relaxed) + 1 == KILLED_AFTER {
            answered.1.notify_one();
        }
        answer
    });
    stream::iter(sending).buffered(AT_ONCE).collect().await
}

/// Each push has one job, whatever was answered to whom; the same id has the same answer.
async fn is_consistent(all: &[Numbered], answers: &[(StatusCode, Value)], nats: &Address) {
    let mut jobs: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let mut verdicts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ((push, delivery), (status, answer)) in all.iter().zip(answers) {
        assert_eq!(*status, StatusCode::ACCEPTED, "{answer}");
        let made = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(made.len(), 1, "{answer}");
        jobs.entry(*push).or_default().insert(made[0].as_str().expect("an id is a text"));
        verdicts
            .entry(&delivery.id)
            .or_default()
            .insert(answer["verdict"].as_str().expect("a verdict is a text"));
    }
    for (push, jobs) in &jobs {
        assert_eq!(jobs.len(), 1, "push {push} has {jobs:?}");
    }
    for (id, verdicts) in &verdicts {
        assert_eq!(verdicts.len(), 1, "delivery {id} was answered {verdicts:?}");
    }
    let accepted = verdicts.values().filter(|verdicts| verdicts.contains("accepted")).count();
    assert_eq!((jobs.len(), accepted), (DISTINCT, DISTINCT));
    let distinct: BTreeSet<&str> = jobs.values().flatten().copied().collect();
    assert_eq!(distinct.len(), DISTINCT);
    assert_eq!(nats.messages("KV_jobs").await, DISTINCT as u64, "records of jobs");
    assert_eq!(nats.messages("JOBS").await, DISTINCT as u64, "jobs that wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deliveries_with_doubles_at_concurrency_64_are_exactly_the_distinct_jobs() {
    let service = Service::start_with(&SETTINGS).await;
    let ada = service.user("ada@example.com");
    let (path, all) = flood(&service.forge, &ada).await;
    let begun = Instant::now();
    let answers = send(&service, &path, &all, &Default::default()).await;
    let took = begun.elapsed();
    eprintln!("{COUNT} deliveries in {took:.1?}, {:.0}/s", COUNT as f64 / took.as_secs_f64());
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.expect("every delivery is answered")).collect();
    is_consistent(&all, &answers, &service.nats()).await;

    // A week later is no different: all of it again is known.
    let again = send(&service, &path, &all, &Default::default()).await;
    let again: Vec<_> = again.into_iter().map(|answer| answer.expect("every delivery is answered")).collect();
    is_consistent(&all, &again, &service.nats()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_in_a_flood_loses_and_doubles_nothing() {
    let mut cluster = Cluster::start_with(&SETTINGS).await;
    let ada = cluster.user("ada@example.com");
    let (path, all) = flood(&cluster.forge, &ada).await;
    let answered = (AtomicUsize::new(0), Notify::new());
    let gateway = cluster.take_gateway();
    let killing = async {
        answered.1.notified().await;
        gateway.kill().await;
    };
    let (first, ()) = tokio::join!(send(&ada, &path, &all, &answered), killing);
    let unanswered: Vec<usize> = (0..COUNT).filter(|index| !is_answer(first[*index].as_ref())).collect();
    eprintln!("{} of {COUNT} deliveries were not answered", unanswered.len());
    assert!(!unanswered.is_empty(), "the gateway was killed too late");

    cluster.start_gateway().await;
    let rest: Vec<Numbered> = unanswered.iter().map(|index| all[*index].clone()).collect();
    let mut second = send(&ada, &path, &rest, &Default::default()).await.into_iter();
    let answers: Vec<_> = first
        .into_iter()
        .map(|answer| match answer {
            answer if is_answer(answer.as_ref()) => answer,
            _ => second.next().expect("it was sent again"),
        })
        .map(|answer| answer.expect("every delivery is answered in the end"))
        .collect();
    is_consistent(&all, &answers, cluster.nats()).await;
}

/// Whether a forge would not try again: nothing came, or that the gateway cannot.
fn is_answer(answer: Option<&(StatusCode, Value)>) -> bool {
    answer.is_some_and(|(status, _)| !status.is_server_error())
}
