//! That a job runs is told: at once where that costs nothing, on GitHub once it has run for a while.

use std::time::{Duration, Instant};

use jobs::Outcome;

use crate::{
    desk::{Desk, Kind},
    double::Forge,
    sha,
};

fn descriptions(forge: &Forge) -> Vec<String> {
    let said =
        |write: crate::double::Write| write.body["description"].as_str().unwrap_or_default().to_owned();
    forge.writes().into_iter().map(said).collect()
}

#[tokio::test]
async fn gitea_is_told_at_once_that_a_job_runs() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| descriptions(forge) == ["queued"]).await;
    let claimed = Instant::now();
    let _claim = desk.claim().await;
    desk.forge.until(|forge| descriptions(forge) == ["queued", "running"]).await;
    assert!(claimed.elapsed() < Duration::from_secs(2), "{:?}", claimed.elapsed());
    desk.finish(job, &Outcome::Finished).await;
    desk.forge.until(|forge| descriptions(forge) == ["queued", "running", "finished"]).await;
    desk.quiet().await;
    assert_eq!(desk.forge.states(&sha(1)), ["pending", "pending", "success"]);
}

#[tokio::test]
async fn a_job_that_is_over_soon_is_never_said_to_run() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| descriptions(forge) == ["queued"]).await;
    let _claim = desk.claim().await;
    desk.finish(job, &Outcome::Finished).await;
    desk.forge.until(|forge| descriptions(forge) == ["queued", "finished"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    desk.quiet().await;
    assert_eq!(descriptions(&desk.forge), ["queued", "finished"]);
}

#[tokio::test]
async fn github_is_told_once_and_only_of_a_job_that_has_run_for_five_seconds() {
    for kind in [Kind::Github, Kind::GithubApp] {
        let desk = Desk::open(kind, &["w1"]).await;
        let job = desk.push(&sha(1)).await;
        let told = |forge: &Forge| forge.arrived(&sha(1)).len();
        desk.forge.until(|forge| told(forge) == 1).await;
        let claimed = Instant::now();
        let _claim = desk.claim().await;
        desk.forge.until(|forge| told(forge) == 2).await;
        let took = claimed.elapsed();
        assert!((4_500..8_000).contains(&took.as_millis()), "{took:?}");
        desk.finish(job, &Outcome::Finished).await;
        desk.forge.until(|forge| told(forge) == 3).await;
        desk.quiet().await;
        assert_eq!(told(&desk.forge), 3);
    }
}
