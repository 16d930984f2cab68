//! How long a call of a function over HTTP takes, and how many two callers get answered, beside `docker run` of the
//! same program.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use tests::{
    Commit, Repository, Service,
    waiting::{ASK_AGAIN, JOB, within},
};

use crate::{
    measurements::{Times, times},
    runs::{ANSWER, docker_run},
    say,
};

/// What a call sends, in bytes: a small webhook or form. The program does not read it.
const INPUT_BYTES: usize = 1024;
/// Callers, and loops of `docker run`; the service has as many slots.
const CALLERS: usize = 2;
/// Taken in turn with `docker run`, so that the machine's weather is the same for both.
const BLOCKS: usize = 4;
/// Calls of one block, and containers.
const BLOCK: usize = 25;

/// A function that answers calls.
pub(crate) struct Callable<'s> {
    service: &'s Service,
    path: String,
}

impl<'s> Callable<'s> {
    /// The function of a registered repository, once calls are answered from this commit of its default branch,
    /// which was pushed and is green. A forge may hear of that first.
    pub(crate) async fn new(service: &'s Service, repository: &Repository, commit: &Commit) -> Self {
        // Named after the repository: no other of this service has its name.
        let function = Self { service, path: format!("/f/{}", repository.name) };
        let published = async {
            loop {
                let answer = function.post().await;
                let answers_from = answer.headers().get("gitfaas-commit");
                if answer.status() == StatusCode::OK && answers_from.is_some_and(|sha| sha == &*commit.sha) {
                    break;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        let state = async || {
            let answer = function.post().await;
            (answer.status(), answer.text().await)
        };
        within(JOB, &format!("{} to answer from {}", function.path, commit.sha), published, state).await;
        function
    }

    async fn post(&self) -> reqwest::Response {
        let request = self.service.request(Method::POST, &self.path);
        self.service.send(request.body(vec![b'x'; INPUT_BYTES])).await
    }

    /// From the sending of the request to the last byte of the answer.
    pub(crate) async fn call(&self) -> Duration {
        let begun = Instant::now();
        let answer = self.post().await;
        let (status, body) = (answer.status(), answer.bytes().await.expect("an answer has a body"));
        let taken = begun.elapsed();
        assert_eq!((status, body), (StatusCode::OK, Bytes::from_static(ANSWER)), "{}", self.path);
        taken
    }

    /// Callers who call again as soon as they are answered, beside as many loops of `docker run`.
    pub(crate) async fn back_to_back(&self) {
        let (mut calls, mut docker) = (Loops::default(), Loops::default());
        for _ in 0..BLOCKS {
            docker.add(
                times(BLOCK, CALLERS, |_| async {
                    docker_run().await;
                })
                .await,
            );
            calls.add(
                times(BLOCK, CALLERS, |_| async {
                    self.call().await;
                })
                .await,
            );
        }
        let (calls_rate, docker_rate) = (calls.a_minute(), docker.a_minute());
        say(&format!(
            "two callers back to back: {calls_rate:.0} calls of a function a minute, p95 {:.1} ms; two loops of \
             docker run: {docker_rate:.0}, p95 {:.1} ms; ratio {:.2}",
            calls.p95_ms(),
            docker.p95_ms(),
            calls_rate / docker_rate
        ));
    }
}

/// What loops did in all their blocks.
#[derive(Default)]
struct Loops {
    times: Vec<Duration>,
    seconds: f64,
}

impl Loops {
    fn add(&mut self, (block, a_second): (Times, f64)) {
        let block = block.into_vec();
        self.seconds += block.len() as f64 / a_second;
        self.times.extend(block);
    }

    fn a_minute(&self) -> f64 {
        self.times.len() as f64 / self.seconds * 60.0
    }

    fn p95_ms(self) -> f64 {
        Times::new(self.times).percentile_ms(0.95)
    }
}
