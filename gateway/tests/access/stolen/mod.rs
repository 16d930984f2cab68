//! A worker's NATS credential in wrong hands: what it is no good for, and what it still is.

mod scene;

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    Cause, CommitSha, CommitStatus, Fault, Job, JobId, JobSpec, Outcome, Phase, Repo, State, Trigger,
    WorkerName,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
    head_key,
    log::LogWriter,
    streams::{self, commit_key},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_case::test_case;

use crate::{
    URL,
    support::{Answered as _, PATIENCE},
};
use scene::{Scene, THIEF, refusal};

/// Longer than NATS takes to answer whoever may ask.
const SILENCE: Duration = Duration::from_secs(2);

/// What a record that was changed ends with.
const FORGED: &str = "the job's record does not say what a gateway signed";

/// What is changed, in a job of which trigger, whether of a stranger's commit, and how.
type Rewritten<'a> = (&'static str, Trigger, bool, &'a dyn Fn(&mut Value));

#[tokio::test]
async fn a_pending_record_that_was_rewritten_gets_nothing_and_is_nobodys() {
    let scene = Scene::start().await;
    let mine = scene.stranger_id;
    let changes: [Rewritten<'_>; 12] = [
        ("owner", Trigger::Call, false, &|job| job["owner"] = json!(mine)),
        ("url", Trigger::Push, false, &|job| job["url"] = json!("https://127.0.0.1/thief/pi.git")),
        ("repo", Trigger::Call, false, &|job| job["repo"] = json!(JobId::new())),
        ("a pull request becomes a push", Trigger::PullRequest, false, &|job| job["trigger"] = json!("push")),
        ("a fork's becomes trusted", Trigger::Push, true, &|job| job["untrusted"] = json!(false)),
        ("another event", Trigger::PullRequest, false, &|job| job["signature"]["event"] = json!("push")),
        ("another commit", Trigger::Push, false, &|job| {
            job["sha"] = json!("b".repeat(40));
            job["signature"]["sha"] = json!("b".repeat(40));
        }),
        ("args", Trigger::Call, false, &|job| job["args"] = json!(["--steal"])),
        ("an input", Trigger::Call, false, &|job| {
            job["input"] = json!(jobs::Input::new("--steal", "text/plain").describe());
        }),
        ("where its push comes", Trigger::Push, false, &|job| job["push_revision"] = json!(1_u64 << 40)),
        ("that it may be run again", Trigger::Call, false, &|job| {
            job["function"] = json!({ "name": "pi", "repeatable": true });
        }),
        ("another key", Trigger::Call, false, &|job| job["signature"]["key"] = json!("0".repeat(16))),
    ];
    for (what, trigger, untrusted, change) in changes {
        let id = scene.job(trigger, untrusted).await;
        // In the same write it is taken, so that nobody ends it before it is asked for.
        scene
            .write(id, |job| {
                change(job);
                job["state"] = json!("working");
                job["attempt"] = json!(1);
                job["worker"] = json!(THIEF);
            })
            .await;
        let reason = refusal(scene.ask_for_job(id, 1).await);
        assert!([FORGED, "the job is over"].contains(&&*reason), "{what}: {reason}");
        let end = scene.end_of(id).await;
        assert_eq!(
            (end.status.cause, end.status.message.as_deref()),
            (Some(Cause::Refused), Some(FORGED)),
            "{what}"
        );
        scene.is_nobodys(id).await;
    }
    let metrics = scene.service.request(Method::GET, "/metrics").says(StatusCode::OK).await;
    let counted = metrics.lines().find(|line| line.starts_with("gitfaas_gateway_records_not_believed_total"));
    assert!(counted.is_some_and(|line| line.contains("forged") && !line.ends_with(" 0")), "{metrics}");
}

#[tokio::test]
async fn a_live_stream_ends_when_the_record_is_not_believed_any_more() {
    let scene = Scene::start().await;
    let id = scene.job(Trigger::Call, false).await;
    let path = format!("/api/v1/jobs/{id}/events");
    let mut stream = scene.service.get(&path, &scene.victim).send().await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("pending"));
    scene.write(id, |job| job["args"] = json!(["--steal"])).await;
    let reading = async {
        let mut rest = Vec::new();
        while let Some(chunk) = stream.chunk().await.unwrap() {
            rest.extend_from_slice(&chunk);
        }
        String::from_utf8(rest).unwrap()
    };
    let rest = tokio::time::timeout(PATIENCE, reading).await.expect("the stream ends");
    assert!(!rest.contains("--steal"), "{rest}");
}

#[tokio::test]
async fn a_commit_that_was_given_cannot_be_another_where_secrets_are() {
    let scene = Scene::start().await;
    let id = scene.job(Trigger::Push, false).await;
    scene.write(id, |job| job["sha"] = json!("b".repeat(40))).await;
    let shown = scene.service.get(&format!("/api/v1/jobs/{id}"), &scene.victim).answers(StatusCode::OK).await;
    assert_eq!(shown["sha"], json!("a".repeat(40)), "the owner sees what was signed");
    assert!(shown.get("signature").is_none());
    scene.claim(id).await;
    refusal(scene.ask_for_job(id, 1).await);
}

#[tokio::test]
async fn a_status_is_granted_for_what_was_signed_alone() {
    let scene = Scene::start().await;
    let posts =
        |entry: &Entry<Repo>| Some(Repo { posts: true, forge: "gitea".into(), ..entry.value.clone() });
    scene.service.ledger.repos.change(&scene.repo, posts).await.unwrap().unwrap();
    let id = scene.job(Trigger::Push, false).await;
    let job = scene.record(id).await;
    let taken = async |job: JobId, sha: &CommitSha| {
        let repo = scene.repo.parse().unwrap();
        let key = commit_key(repo, sha, "gitfaas/push");
        // Entries of commits are written by workers.
        let put = |entry: &Entry<CommitStatus>| {
            let mut json = serde_json::to_value(&entry.value).unwrap();
            json["job"] = serde_json::to_value(job).unwrap();
            json["poster"] = json!("me");
            Some(serde_json::from_value(json).unwrap())
        };
        scene.thief.commits.change(&key, put).await.unwrap().unwrap();
        scene.ask(&GrantRequest::Status { commit: key, job }).await
    };
    let sha = job.spec.sha.clone().unwrap();
    // This is known: it is lent to whoever posts, and cannot be narrowed.
    assert!(matches!(taken(id, &sha).await, GrantReply::Status(grant) if grant.token == "t0ken"));
    scene.write(id, |job| job["also_contexts"] = json!(["gitfaas/tag"])).await;
    assert!(refusal(taken(id, &sha).await).contains("what a gateway signed"));

    let spec = JobSpec { id: JobId::new(), ..job.spec };
    let planted = Job { spec, signature: None, ..job };
    scene.is_marked().await;
    scene.thief.jobs.create(&planted.spec.id.to_string(), &planted).await.unwrap();
    assert!(refusal(taken(planted.spec.id, &sha).await).contains("not signed"));
}

#[tokio::test]
async fn a_job_that_is_over_or_of_another_time_or_worker_gets_nothing() {
    let scene = Scene::start().await;
    let done = scene.job(Trigger::Call, false).await;
    let before = scene.record(done).await;
    scene.service.run(done, "", b"3").await;
    assert!(scene.record(done).await.status.state.is_final());
    let path = "/api/v1/jobs?state=finish";
    let listed = async {
        while !scene.service.get(path, &scene.victim).says(StatusCode::OK).await.contains(&done.to_string()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, listed).await.expect("the gateway sees the end");
    for state in ["working", "pending"] {
        scene
            .write(done, |job| {
                job["state"] = json!(state);
                job["worker"] = json!(THIEF);
                job["attempt"] = json!(7);
            })
            .await;
        assert_eq!(refusal(scene.ask_for_job(done, 7).await), "the job is over");
        let end = scene.end_of(done).await;
        assert!(end.status.state == State::Finish || end.status.message.unwrap().contains("after its end"));
    }
    assert_eq!(before.signature, scene.record(done).await.signature);

    let held = scene.job(Trigger::Call, false).await;
    let claim = scene.service.claim(held).await;
    assert_eq!(claim.entry.value.status.worker, Some("w1".parse::<WorkerName>().unwrap()));
    assert_eq!(refusal(scene.ask_for_job(held, 1).await), "this attempt is not the asker's");
    let bytes =
        serde_json::to_vec(&GrantRequest::Job { job: held, attempt: 1, secrets: Vec::new() }).unwrap();
    let asked = scene.thief.client.request("grants.w1", bytes.into());
    assert!(
        !matches!(tokio::time::timeout(SILENCE, asked).await, Ok(Ok(_))),
        "NATS lets nobody ask as another"
    );

    let owner = scene.record(held).await.spec.owner;
    for (age, name) in
        [(SignedDuration::from_hours(146), "old"), (SignedDuration::from_mins(-6), "of the future")]
    {
        let id = at(Timestamp::now() - age);
        let repo = Some(scene.repo.parse().unwrap());
        scene.service.ledger.submit(JobSpec { id, repo, ..JobSpec::call(owner, URL) }).await.unwrap();
        scene.claim(id).await;
        assert!(refusal(scene.ask_for_job(id, 1).await).contains("not of a time"), "{name}");
    }
}

/// An id that says that it was made then.
fn at(made: Timestamp) -> JobId {
    let mut bytes = *JobId::new().as_bytes();
    bytes[..6].copy_from_slice(&made.as_millisecond().to_be_bytes()[2..]);
    JobId::from_bytes(bytes)
}

#[test_case(None ; "unsigned")]
#[test_case(Some("another's signature") ; "with the signature of another")]
#[tokio::test]
async fn a_record_that_was_planted_is_nobodys_and_ends(copied: Option<&str>) {
    let scene = Scene::start().await;
    scene.is_marked().await;
    let real = scene.record(scene.job(Trigger::Push, false).await).await;
    let signature = copied.and(real.signature.clone());
    let spec = JobSpec { id: JobId::new(), owner: scene.stranger_id, ..real.spec.clone() };
    let planted = Job { spec, signature, ..real.clone() };
    let id = planted.spec.id;
    scene.thief.jobs.create(&id.to_string(), &planted).await.unwrap();
    let end = scene.end_of(id).await;
    assert_eq!((end.status.state, end.status.fault), (State::Error, Some(Fault::Service)));
    assert!(end.status.message.unwrap().contains("sign"));
    scene.is_nobodys(id).await;

    // A copy of a good record under another name is no record of either.
    let copy = JobId::new();
    scene.thief.jobs.create(&copy.to_string(), &real).await.unwrap();
    for token in [&scene.victim, &scene.stranger] {
        scene.service.get(&format!("/api/v1/jobs/{copy}"), token).says(StatusCode::NOT_FOUND).await;
    }
    scene.service.get(&format!("/api/v1/jobs/{}", real.spec.id), &scene.victim).says(StatusCode::OK).await;
}

#[tokio::test]
async fn what_was_planted_fills_nobodys_queue() {
    let scene = Scene::start().await;
    scene.is_marked().await;
    let real = scene.record(scene.job(Trigger::Push, false).await).await;
    let spec = JobSpec { id: JobId::new(), ..real.spec.clone() };
    let planted = Job { spec, signature: None, ..real.clone() };
    scene.thief.jobs.create(&planted.spec.id.to_string(), &planted).await.unwrap();
    scene.end_of(planted.spec.id).await;
    let commit = &scene.service.ledger.commits;
    let key = commit_key(planted.spec.repo.unwrap(), planted.spec.sha.as_ref().unwrap(), "gitfaas/push");
    let speaks = commit.get(&key).await.unwrap().unwrap().value.job();
    assert_eq!(speaks, real.spec.id, "the victim's status is still the victim's");
}

#[tokio::test]
async fn a_rerun_repeats_what_was_signed_and_trusts_no_commit_that_a_worker_named() {
    let scene = Scene::start().await;
    let tampered = scene.job(Trigger::Call, false).await;
    scene.service.run(tampered, "", b"").await;
    scene.write(tampered, |job| job["args"] = json!(["--steal"])).await;
    scene.is_nobodys(tampered).await;

    let rerun = async |id: JobId| {
        let path = format!("/api/v1/jobs/{id}/rerun");
        let again = scene.service.post(&path, &scene.victim, &json!({})).answers(StatusCode::ACCEPTED).await;
        scene.record(again["id"].as_str().unwrap().parse().unwrap()).await
    };
    let call = json!({ "repo": scene.repo, "ref": "main" });
    let called = scene.service.post("/api/v1/jobs", &scene.victim, &call).answers(StatusCode::ACCEPTED).await;
    let called: JobId = called["id"].as_str().unwrap().parse().unwrap();
    scene.service.run(called, "", b"").await;
    let forks = "f".repeat(40);
    scene.write(called, |job| job["sha"] = json!(forks)).await;
    let again = rerun(called).await;
    assert_eq!(again.spec.sha, Some(forks.parse().unwrap()), "the commit stays the same");
    assert!(again.spec.untrusted, "but it may be a stranger's");
    scene.claim(again.spec.id).await;
    match scene.ask_for_job(again.spec.id, 1).await {
        GrantReply::Job(grant) => assert_eq!(grant.missing_secrets, ["KEY"]),
        other => panic!("{other:?}"),
    }

    let repo = scene.repo.parse().unwrap();
    let head = jobs::RefHead {
        before: None,
        after: forks.parse().unwrap(),
        job: None,
        reference: Some("refs/heads/main".into()),
        other: serde_json::Map::new(),
    };
    scene.service.ledger.heads.create(&head_key(repo, "refs/heads/main"), &head).await.unwrap();
    let known = rerun(called).await;
    assert!(!known.spec.untrusted, "the forge told a gateway of this commit");
    assert!(rerun(again.spec.id).await.spec.untrusted, "what was signed as a stranger's stays one");
}

#[tokio::test]
async fn what_a_stolen_credential_still_can_do_is_known() {
    let scene = Scene::start().await;
    // What is open may be claimed, and then it is the thief's to run, with what it is given.
    let open = scene.job(Trigger::Call, false).await;
    let claim = scene.claim(open).await;
    match scene.ask_for_job(open, 1).await {
        GrantReply::Job(grant) => {
            assert_eq!(grant.secrets, [("KEY".to_owned(), "hunter2".to_owned())]);
            assert_eq!(grant.clone.unwrap().token, "t0ken");
        }
        other => panic!("{other:?}"),
    }
    // Results and ends are what workers say.
    let others = scene.job(Trigger::Call, false).await;
    scene.write(others, |job| job["state"] = json!("error")).await;
    let shown =
        scene.service.get(&format!("/api/v1/jobs/{others}"), &scene.victim).answers(StatusCode::OK).await;
    assert_eq!(shown["state"], "error");
    // Tokens of statuses: see above. Records may be lost.
    let lost = scene.job(Trigger::Call, false).await;
    let entry = scene.thief.job(lost).await.unwrap().unwrap();
    scene.thief.jobs.delete(&entry.key, entry.revision).await.unwrap();
    claim.lease.give_up().await;
}

#[tokio::test]
async fn nats_lets_a_worker_do_no_more_than_it_needs() {
    let scene = Scene::start().await;
    let id = scene.job(Trigger::Push, false).await;
    let owner = scene.record(id).await.spec.owner;
    let repo = &scene.repo;
    let refused = [
        format!("$KV.secrets.{repo}.KEY"),
        "$KV.secrets.records.key".to_owned(),
        "$KV.meta.records_signed".to_owned(),
        format!("$KV.repos.{repo}"),
        format!("$KV.heads.{repo}.x"),
        "$KV.names.pi".to_owned(),
        format!("$KV.aliases.{repo}.live"),
        format!("$KV.deliveries.{repo}"),
        format!("$KV.idempotency.{owner}.x"),
        format!("$KV.tokens.{id}"),
        format!("$KV.users.{owner}"),
        "$KV.locks.reconcile".to_owned(),
        format!("leases.{owner}.{id}.1.worker-2"),
        "$KV.workers.worker-2".to_owned(),
        "audit.job_rerun".to_owned(),
        streams::input(owner, id, 0),
    ];
    for subject in refused {
        let published = scene.thief.js.publish(subject.clone(), "{}".into()).await.unwrap();
        let stored = tokio::time::timeout(SILENCE, published.into_future()).await;
        assert!(!matches!(stored, Ok(Ok(_))), "{subject}");
    }
    for request in [
        "$JS.API.STREAM.MSG.GET.KV_secrets",
        "$JS.API.STREAM.MSG.GET.KV_names",
        "$JS.API.STREAM.MSG.GET.KV_aliases",
        "$JS.API.STREAM.PURGE.OBJ_RESULTS",
        "$JS.API.STREAM.PURGE.INPUTS",
        "$JS.API.STREAM.MSG.DELETE.INPUTS",
        "$JS.API.STREAM.PURGE.KV_jobs",
        "$JS.API.STREAM.DELETE.KV_jobs",
        "$JS.API.STREAM.UPDATE.KV_jobs",
        "$JS.API.CONSUMER.CREATE.KV_jobs",
        "$JS.API.STREAM.MSG.GET.LEASES",
    ] {
        let body = json!({ "last_by_subj": "$KV.secrets.records.key" }).to_string();
        let asked = scene.thief.client.request(request, body.into());
        assert!(!matches!(tokio::time::timeout(SILENCE, asked).await, Ok(Ok(_))), "{request}");
    }
    // What it needs, it can: a job from claim to end, with a log and a result that lies in the store.
    let input = jobs::Input::new("1 2", "text/plain");
    scene.service.ledger.inputs.store(owner, id, &input).await.unwrap();
    assert_eq!(scene.thief.inputs.fetch(owner, id, &input.describe()).await.unwrap(), input);
    let claim = scene.claim(id).await;
    scene.thief.requeue(id, 1).await.unwrap().unwrap();
    claim.lease.give_up().await;
    let claim = scene.claim(id).await;
    let log = LogWriter::start(scene.thief.js.clone(), id, 2);
    log.handle().note(Phase::Run, "a line");
    assert!(log.close(PATIENCE).await);
    let long = vec![7; jobs::result::INLINE_BYTES + 1];
    for _ in 0..2 {
        scene.thief.results.store(id, 2, &long).await.unwrap();
    }
    let result = jobs::JobResult::of(&long, 0);
    let notes = |mut job: Job| {
        job.status.result = Some(result.clone());
        job
    };
    scene.thief.finish(id, 2, &Outcome::Finished, &notes).await.unwrap().unwrap();
    claim.lease.give_up().await;
    assert!(scene.thief.leased_by(&THIEF.parse().unwrap()).await.unwrap().is_empty());
    assert!(scene.thief.log(id, 2).await.unwrap().next().await.unwrap().is_some());
    let path = format!("/api/v1/jobs/{id}/result");
    let got = scene.service.get(&path, &scene.victim).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), long);

    let statuses = scene.thief.js.get_stream_no_info(streams::STATUSES).await.unwrap();
    let posters: PullConsumer = statuses.get_consumer(streams::STATUS_POSTERS).await.unwrap();
    let mut messages = posters.fetch().max_messages(1).messages().await.unwrap();
    let message = messages.next().await.expect("a status is to be posted").unwrap();
    message.double_ack().await.unwrap();
}
