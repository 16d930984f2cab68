//! A forge that is dead while jobs end: every commit has its right status in the end, and keeps it.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use tests::{Api, Commit, Repository, Service, fake_forge::Outage, is_long, sample_programs::sample_program};

/// Repositories, and commits of each: one status of a repository is posted in a second.
const REPOSITORIES: usize = 10;
const COMMITS: usize = 5;
/// Final states at the forge before it dies.
const BEFORE: usize = 5;

/// How long the forge is dead.
fn outage() -> Duration {
    Duration::from_secs(if is_long() { 120 } else { 15 })
}

/// The last wait of a poster may be as long as the whole outage, and a request 10 s; then each
/// repository has its statuses posted one in a second.
fn bound() -> Duration {
    outage() * 3 + Duration::from_secs(90)
}

/// Pushes one commit after the other to branches of their own.
async fn push(repository: &Repository, at: usize) -> Vec<(Commit, usize)> {
    let mut commits = Vec::new();
    for commit in 0..COMMITS {
        let n = at * COMMITS + commit;
        let (function, ..) = sample_program(n);
        commits.push((repository.push_to(&format!("b{n}"), function, &format!("change {n}")).await, n));
    }
    commits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forge_that_is_dead_in_the_middle_of_fifty_jobs_has_fifty_right_statuses_in_the_end() {
    let service = Service::start().await;
    let mut repositories = Vec::new();
    for n in 0..REPOSITORIES {
        repositories.push(service.registered(&format!("r{n}")).await);
    }
    let dying = async {
        let mut news = service.forge.watch();
        let some = |all: &Vec<tests::fake_forge::Status>| {
            all.iter().filter(|status| status.is_final()).count() >= BEFORE
        };
        news.wait_for(some).await.expect("the forge lives");
        let outages = [
            Outage::Answer(502, Vec::new()),
            Outage::Reset,
            Outage::Hang,
            Outage::Answer(503, vec![("retry-after", "3")]),
            Outage::Lost,
            Outage::Late(Duration::from_secs(3)),
            Outage::Answer(403, vec![("retry-after", "2")]),
            Outage::Answer(429, vec![("x-ratelimit-remaining", "0"), ("retry-after", "1")]),
        ];
        service.forge.is_down_for(outage(), &outages);
    };
    let pushing = join_all(repositories.iter().enumerate().map(|(at, repository)| push(repository, at)));
    let (pushed, ()) = tokio::join!(pushing, dying);
    let commits: Vec<(Commit, usize)> = pushed.into_iter().flatten().collect();
    assert_eq!(commits.len(), REPOSITORIES * COMMITS);

    let all = join_all(commits.iter().map(|(commit, _)| service.forge.final_status_within(bound(), commit)));
    let newest = all.await;
    let met = service.forge.outages_met();
    eprintln!("{met} posts met a dead forge in {} s", outage().as_secs());
    assert!(met >= BEFORE, "the forge was dead too late: {met} posts met it so");
    for ((commit, n), status) in commits.iter().zip(&newest) {
        let (_, state, says) = sample_program(*n);
        assert_eq!(status.state, state, "{status:?}");
        assert!(status.description.starts_with(&says), "{status:?}");
        let told: Vec<String> =
            service.forge.statuses(commit).into_iter().map(|status| status.state).collect();
        let first_final = told.iter().position(|state| state != "pending").expect("it has one");
        assert!(told[first_final..].iter().all(|told| told == state), "commit {n} was told {told:?}");
        let job = service.job(&commit.job()).await;
        assert_eq!((job.is_final(), job.attempt), (true, 1), "{job:?}");
    }
    let metrics = service.anybody().get("/metrics").await;
    assert_eq!(metrics.status(), StatusCode::OK);
    let list = Api::json(service.get("/api/v1/jobs?limit=100").await, StatusCode::OK).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(REPOSITORIES * COMMITS));
}
