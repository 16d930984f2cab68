//! A forge that is dead while an App's jobs end: every commit has one check run in the end, and the right
//! one.

use std::time::Duration;

use futures_util::future::join_all;
use tests::{
    Commit, Repository, Service,
    fake_forge::{CheckRun, Outage},
    installation::{installed, tell},
    sample_programs::sample_program,
};

/// Of two commits each.
const REPOSITORIES: [&str; 5] = ["c0", "c1", "c2", "c3", "c4"];
const COMMITS: usize = 2;
/// Completed check runs before the forge dies.
const BEFORE: usize = 2;
/// How long it is dead.
const OUTAGE: Duration = Duration::from_secs(15);
/// The last wait of a poster may be as long as the whole outage, and a request 10 s.
const BOUND: Duration = Duration::from_secs(120);

/// Pushes to branches of their own and tells the App: each commit, its number and its job.
async fn push(service: &Service, repository: &Repository, at: usize) -> Vec<(Commit, usize, String)> {
    let mut pushed = Vec::new();
    for commit in 0..COMMITS {
        let n = at * COMMITS + commit;
        let (function, ..) = sample_program(n);
        let commit = repository.push_to(&format!("b{n}"), function, &format!("change {n}")).await;
        let job = tell(service, repository, &commit).await;
        pushed.push((commit, n, job));
    }
    pushed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forge_that_is_dead_in_the_middle_of_ten_jobs_has_one_right_check_run_of_each_in_the_end() {
    let (service, repositories) = installed(&REPOSITORIES).await;
    let dying = async {
        let some = |all: &Vec<CheckRun>| all.iter().filter(|run| run.is_completed()).count() >= BEFORE;
        service.forge.watch_checks().wait_for(some).await.expect("the forge lives");
        let outages = [
            Outage::Lost,
            Outage::Answer(502, Vec::new()),
            Outage::Hang,
            Outage::Reset,
            Outage::Late(Duration::from_secs(3)),
            Outage::Answer(403, vec![("retry-after", "2")]),
        ];
        service.forge.is_down_for(OUTAGE, &outages);
    };
    let pushing = repositories.iter().enumerate().map(|(at, repository)| push(&service, repository, at));
    let (pushed, ()) = tokio::join!(join_all(pushing), dying);
    let pushed: Vec<_> = pushed.into_iter().flatten().collect();

    let newest = join_all(pushed.iter().map(|(commit, ..)| service.forge.completed_within(BOUND, commit)));
    let newest = newest.await;
    let met = service.forge.outages_met();
    eprintln!("{met} posts met a dead forge in {} s", OUTAGE.as_secs());
    assert!(met >= BEFORE, "the forge was dead too late: {met} posts met it so");
    for ((commit, n, job), run) in pushed.iter().zip(&newest) {
        let (_, conclusion, says) = sample_program(*n);
        assert_eq!((run.conclusion.as_deref(), &run.external_id), (Some(conclusion), job), "{run:#?}");
        assert!(run.title.starts_with(&says), "{run:#?}");
        let job = service.job(job).await;
        assert_eq!((job.is_final(), job.attempt), (true, 1), "{job:?}");
        let all = service.forge.check_runs(commit);
        assert!(all.len() == 1 && all[0].is_completed(), "{all:#?}");
        let first = all[0].statuses.iter().position(|status| status == "completed").expect("it is completed");
        assert!(all[0].statuses[first..].iter().all(|status| status == "completed"), "{all:#?}");
    }
}
