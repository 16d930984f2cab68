//! How long a call, by job and over HTTP, and a push take, beside `docker run` of the same command.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{
    Commit, Delivery, Function, Service, delivery,
    fake_forge::Status,
    repository::{Registration, Repository},
};
use tokio::process::Command;

use crate::{
    calls::Callable,
    measurements::{Times, times},
    say,
};

/// Of each kind; taken in turn, so that the machine's weather is the same for all.
const ROUNDS: usize = 15;
/// Jobs of the burst.
const BURST: usize = 50;
/// The command of all of them.
const PROGRAM: &str = "print(42)";
/// What it prints.
pub(crate) const ANSWER: &[u8] = b"42\n";
/// How long a status may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn measure() {
    let service = Service::start().await;
    let (mut docker, mut call, mut function_call) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pending, mut finished) = (Vec::new(), Vec::new());
    let mut last = None;
    for round in 1..=ROUNDS {
        let repository = service.forge.repository(&format!("bench-{round}")).await;
        let registration = registered(&service, &repository).await;
        let path = delivery::path(&registration.webhook_url);
        let first = commit(&repository, tests::repository::NO_COMMIT, 0).await;
        pushed(&service, &repository, &registration.secret, &path, &first).await;
        let function = Callable::new(&service, &repository, &first).await;

        docker.push(docker_run().await);
        let begun = Instant::now();
        let job = service.post("/api/v1/jobs?wait=60", &json!({"repo": registration.id})).await;
        let job = tests::Api::json(job, http::StatusCode::OK).await;
        assert_eq!(job["state"], "finish", "{job}");
        call.push(begun.elapsed());
        function_call.push(function.call().await);
        let commit = commit(&repository, &first.sha, round).await;
        let (to_pending, to_final) =
            pushed(&service, &repository, &registration.secret, &path, &commit).await;
        pending.push(to_pending);
        finished.push(to_final);
        last = Some((registration.id, function));
    }
    let docker = Times::new(docker);
    say("what | median ms | p90 ms | / docker run");
    for (what, list) in [
        ("docker run --rm --network none", None),
        ("call of a prepared commit, waited for", Some(call)),
        ("call of a function, POST /f/ with 1 KiB", Some(function_call)),
        ("push to pending at the forge", Some(pending)),
        ("push to final at the forge, new commit", Some(finished)),
    ] {
        let own = list.map(Times::new);
        let times = own.as_ref().unwrap_or(&docker);
        say(&format!(
            "{what} | {:.1} | {:.1} | {:.3}",
            times.median_ms(),
            times.percentile_ms(0.9),
            times.median_ms() / docker.median_ms()
        ));
    }
    let Some((repo, function)) = last else { return };
    burst(&service, &repo).await;
    function.back_to_back().await;
}

/// Fifty calls at once, beside two loops of `docker run`.
async fn burst(service: &Service, repo: &str) {
    let (_, docker_rate) = times(BURST, 2, |_| async {
        docker_run().await;
    })
    .await;
    let (_, rate) = times(BURST, BURST, |_| async {
        let job = service.post("/api/v1/jobs?wait=120", &json!({"repo": repo})).await;
        let job = tests::Api::json(job, http::StatusCode::OK).await;
        assert_eq!(job["state"], "finish", "{job}");
    })
    .await;
    say(&format!(
        "burst of {BURST} jobs: {:.0} a minute; two loops of docker run: {:.0}; ratio {:.2}",
        rate * 60.0,
        docker_rate * 60.0,
        rate / docker_rate
    ));
}

/// A registration at a forge that publishes no limits: what is measured is our own part.
pub(crate) async fn registered(service: &Service, repository: &Repository) -> Registration {
    let token = tests::fake_forge::TOKEN;
    let wish = json!({"url": repository.url, "forge": "gitea", "token": token, "webhook": false});
    let made = tests::Api::json(service.post("/api/v1/repos", &wish).await, http::StatusCode::CREATED).await;
    assert_eq!(made["posts"], true, "{made}");
    serde_json::from_value(made).expect("a registration")
}

pub(crate) async fn commit(repository: &Repository, before: &str, round: usize) -> Commit {
    let function = Function::python(PROGRAM).file("round", round.to_string());
    let sha = repository.commit("main", function, &format!("round {round}")).await;
    repository.receive(&sha).await;
    Commit { reference: "refs/heads/main".to_owned(), before: before.to_owned(), sha, told: String::new() }
}

/// From the sending of the delivery to the pending and to the final status.
pub(crate) async fn pushed(
    service: &Service,
    repository: &Repository,
    secret: &str,
    path: &str,
    commit: &Commit,
) -> (Duration, Duration) {
    let sent = Instant::now();
    let mut payload = delivery::payload(repository, commit);
    payload["repository"]["id"] = number(repository).into();
    Delivery::of("push", &payload, secret).send(service, path).await;
    let first = service.forge.shown_within(PATIENCE, commit, |_| true).await;
    let last = service.forge.shown_within(PATIENCE, commit, Status::is_final).await;
    (first.at.duration_since(sent), last.at.duration_since(sent))
}

/// The forge's own number of a repository: each has another.
fn number(repository: &Repository) -> u64 {
    let digits = repository.name.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok());
    1000 + digits.unwrap_or_default()
}

pub(crate) async fn docker_run() -> Duration {
    let begun = Instant::now();
    let output = Command::new("docker")
        .args(["run", "--rm", "--network", "none", "gitfaas/python:latest", "python3", "-c", PROGRAM])
        .output()
        .await
        .expect("docker runs");
    assert_eq!(output.stdout, ANSWER);
    begun.elapsed()
}
