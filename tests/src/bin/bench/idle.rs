//! How long a push and a call of a function take after some time without any request, beside `docker run` of the
//! same program in the same round.
//!
//! Every push is the second one of a repository of its own, at a forge that publishes no limits.

use std::time::Duration;

use tests::{Commit, Repository, Service, delivery, repository::NO_COMMIT};

use crate::{
    calls::Callable,
    measurements::Times,
    runs::{commit, docker_run, pushed, registered},
    say,
};

/// So long nobody asks for anything before a push or call, in seconds, and so many are measured: fewer
/// after a longer time, because they take it.
const GAPS: [(u64, usize); 3] = [(0, 50), (7, 10), (40, 3)];
/// After a longer time, in seconds, only pushes are measured: a call asks no forge, which is what is cold by then.
const MAX_CALL_GAP_S: u64 = 7;

/// How many pushes and calls are measured after each gap: what the caller says, one number for each, and the usual
/// number where it says nothing. None, where it says no number.
pub(crate) fn counts(words: impl Iterator<Item = String>) -> Option<[usize; 3]> {
    let mut counts = GAPS.map(|(_, usual)| usual);
    for (at, word) in words.enumerate() {
        *counts.get_mut(at)? = word.parse().ok()?;
    }
    Some(counts)
}

pub(crate) async fn measure(counts: [usize; 3]) {
    let service = Service::start().await;
    say("push after idling | pushes | pending p50 ms | p99 ms | final p50 ms | p99 ms | docker run p50 ms \
         | p99 ms | final / docker run");
    let mut made = 0;
    for ((gap_s, _), count) in GAPS.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
        let mut known = Vec::new();
        for _ in 0..count {
            made += 1;
            known.push(Known::new(&service, made).await);
        }
        let (mut pending, mut finished, mut docker) = (Vec::new(), Vec::new(), Vec::new());
        for known in &known {
            // Idling is what is measured here: there is no event to wait for.
            tokio::time::sleep(Duration::from_secs(gap_s)).await;
            // Not made before: the service would find a branch that moved, and not wait for the push.
            let second = commit(&known.repository, &known.first.sha, 0).await;
            let (to_pending, to_final) = known.push(&service, &second).await;
            pending.push(to_pending);
            finished.push(to_final);
            docker.push(docker_run().await);
        }
        let (pending, finished, docker) = (Times::new(pending), Times::new(finished), Times::new(docker));
        let columns = [&pending, &finished, &docker]
            .map(|times| format!("{:.1} | {:.1}", times.median_ms(), times.percentile_ms(0.99)));
        say(&format!(
            "{gap_s} s | {count} | {} | {:.3}",
            columns.join(" | "),
            finished.median_ms() / docker.median_ms()
        ));
    }
    measure_calls(&service, made + 1, counts).await;
}

/// Calls of one function, which another repository than those of the pushes has.
async fn measure_calls(service: &Service, number: usize, counts: [usize; 3]) {
    let known = Known::new(service, number).await;
    let function = Callable::new(service, &known.repository, &known.first).await;
    say(
        "call of a function after idling, POST /f/ with 1 KiB | calls | p50 ms | p99 ms | docker run p50 ms \
         | p99 ms | call / docker run",
    );
    let gaps = GAPS.into_iter().zip(counts).map(|((gap_s, _), count)| (gap_s, count));
    for (gap_s, count) in gaps.filter(|(gap_s, count)| *gap_s <= MAX_CALL_GAP_S && *count > 0) {
        let (mut calls, mut docker) = (Vec::new(), Vec::new());
        for _ in 0..count {
            // Idling is what is measured here: there is no event to wait for.
            tokio::time::sleep(Duration::from_secs(gap_s)).await;
            calls.push(function.call().await);
            docker.push(docker_run().await);
        }
        let (calls, docker) = (Times::new(calls), Times::new(docker));
        let columns = [&calls, &docker]
            .map(|times| format!("{:.1} | {:.1}", times.median_ms(), times.percentile_ms(0.99)));
        say(&format!(
            "{gap_s} s | {count} | {} | {:.3}",
            columns.join(" | "),
            calls.median_ms() / docker.median_ms()
        ));
    }
}

/// A registered repository whose first commit was pushed and ran.
struct Known {
    repository: Repository,
    secret: String,
    path: String,
    first: Commit,
}

impl Known {
    async fn new(service: &Service, number: usize) -> Self {
        let repository = service.forge.repository(&format!("idle-{number}")).await;
        let registration = registered(service, &repository).await;
        let path = delivery::path(&registration.webhook_url);
        // Its number makes its commits others than those of the other repositories.
        let first = commit(&repository, NO_COMMIT, number).await;
        let known = Self { repository, secret: registration.secret, path, first };
        known.push(service, &known.first).await;
        known
    }

    async fn push(&self, service: &Service, commit: &Commit) -> (Duration, Duration) {
        pushed(service, &self.repository, &self.secret, &self.path, commit).await
    }
}
