//! Many jobs of one repository of GitHub's at once.

use std::time::{Duration, Instant};

use jobs::Outcome;

use crate::{
    desk::{Desk, Kind},
    sha,
};

const JOBS: usize = 50;

/// A burst's ends are at the forge this long after the last of them; GitHub's minute is not waited for.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn fifty_jobs_of_one_repository_end_at_once_and_no_late_pending_is_posted() {
    let desk = Desk::open(Kind::Github, &["w1"]).await;
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        jobs.push(desk.push(&sha(n)).await);
    }
    let pending =
        |forge: &crate::double::Forge| (0..JOBS).filter(|n| !forge.states(&sha(*n)).is_empty()).count();
    desk.forge.until(|forge| pending(forge) >= 30).await;
    let mut claims = Vec::new();
    for _ in 0..JOBS {
        claims.push(desk.claim().await);
    }
    let ended = Instant::now();
    for job in &jobs {
        desk.finish(*job, &Outcome::Finished).await;
    }
    let is_over = |n: usize| {
        move |forge: &crate::double::Forge| forge.states(&sha(n)).last().is_some_and(|last| last == "success")
    };
    desk.forge.until(|forge| (0..JOBS).all(|n| is_over(n)(forge))).await;
    assert!(ended.elapsed() < AT_ONCE, "{:?}", ended.elapsed());
    let written: usize = (0..JOBS).map(|n| desk.forge.states(&sha(n)).len()).sum();
    assert_eq!(written, 80, "thirty show that they wait: that and the ends are GitHub's minute");
    for n in 0..JOBS {
        assert!(matches!(desk.forge.states(&sha(n)).as_slice(), [end] | [_, end] if end == "success"));
    }
}
