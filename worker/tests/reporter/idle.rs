//! Posters that had nothing to do for a while: the next status is posted at once all the same.
//!
//! These really wait: a fault of 28 s hid behind tests that never paused.

use std::time::{Duration, Instant};

use jobs::Outcome;

use crate::{
    desk::{Desk, Kind},
    sha,
};

/// What a status may take that nothing stands in the way of, on a loaded machine. A request for messages
/// lives 5 s, so one that was missed would take longer than this.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn is_told_at_once(desk: &Desk, commit: &str) {
    let begun = Instant::now();
    let job = desk.push(commit).await;
    desk.forge.until(|forge| forge.states(commit) == ["pending"]).await;
    assert!(begun.elapsed() < AT_ONCE, "pending took {:?}", begun.elapsed());
    let _claim = desk.claim().await;
    let ended = Instant::now();
    desk.finish(job, &Outcome::Finished).await;
    desk.forge.until(|forge| forge.states(commit).last().is_some_and(|last| last == "success")).await;
    assert!(ended.elapsed() < AT_ONCE, "the end took {:?}", ended.elapsed());
}

#[tokio::test]
async fn a_status_is_posted_at_once_after_any_silence() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    for (n, silence_s) in [0, 8, 45].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_secs(silence_s)).await;
        is_told_at_once(&desk, &sha(n)).await;
    }
}

#[tokio::test]
async fn a_restart_of_nats_in_the_middle_of_a_silence_costs_nothing() {
    let mut desk = Desk::open(Kind::Gitea, &["w1"]).await;
    is_told_at_once(&desk, &sha(1)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    desk.restart_nats().await;
    is_told_at_once(&desk, &sha(2)).await;
}
