//! As a GitHub App: an installation brings repositories, and a push becomes a check run beside the
//! commit, in the place of a status.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tests::{
    Commit, Function, Repository, Service,
    delivery::payload,
    fake_forge::{APP_ID, OWNER, Outage, number},
    installation::{self, INSTALLATION, deliver, tell},
    waiting::within,
};

/// Fails in the second line of a function that the fifth line calls.
const RAISES: &str =
    "def deeper(n):\n    raise ValueError('no such luck')\n\nprint('begun', flush=True)\ndeeper(1)";

/// The App is installed on one repository.
async fn installed(name: &str) -> (Service, Repository) {
    let (service, mut repositories) = installation::installed(&[name]).await;
    (service, repositories.remove(0))
}

/// Pushes, and tells as GitHub does: the job.
async fn push(service: &Service, repository: &Repository, program: &str) -> (Commit, String) {
    let commit = repository.push(Function::python(program)).await;
    let job = tell(service, repository, &commit).await;
    (commit, job)
}

#[tokio::test]
async fn a_push_becomes_a_check_run_with_the_tracebacks_lines_and_no_status() {
    let (service, repository) = installed("raises").await;
    let (commit, job) = push(&service, &repository, RAISES).await;
    let run = service.forge.completed(&commit).await;

    assert_eq!((run.name.as_str(), run.external_id.as_str()), ("gitfaas/push", job.as_str()));
    assert_eq!((run.conclusion.as_deref(), run.title.as_str()), (Some("failure"), "exit code 1"));
    let place = ("main.py".to_owned(), 2, "ValueError: no such luck".to_owned());
    assert!(run.annotations.contains(&place), "{:#?}", run.annotations);
    assert!(run.text.contains("begun") && run.text.contains("no such luck"), "{}", run.text);
    assert!(run.summary.contains("| Exit code | 1 |"), "{}", run.summary);
    let first = run.statuses.iter().position(|status| status == "completed").unwrap();
    assert!(first > 0 && run.statuses[first..].iter().all(|status| status == "completed"), "{run:#?}");
    let (_, page) = run.details_url.split_once("/jobs/").unwrap();
    assert_eq!(service.anybody().get(&format!("/jobs/{page}")).await.status(), StatusCode::OK);

    // One run, and never a status beside it; nobody even asked for one.
    assert_eq!((service.forge.check_runs(&commit).len(), service.forge.statuses(&commit)), (1, vec![]));
    let seen = service.forge.seen();
    assert!(seen.iter().all(|seen| !seen.path.contains("/statuses/")), "{seen:#?}");
    // What a worker was lent is good for this repository and this right alone.
    let full_name = format!("{OWNER}/raises");
    for minted in service.forge.minted().iter().filter(|minted| !minted.repositories.is_empty()) {
        assert_eq!(minted.repositories, [number(&full_name)]);
        let rights = minted.permissions.as_object().unwrap();
        assert!(rights.len() == 1, "{minted:?}");
    }

    // The button "re-run" beside it.
    let asked = json!({
        "action": "rerequested",
        "check_run": {
            "id": run.id, "head_sha": commit.sha, "name": run.name, "external_id": run.external_id,
            "app": { "id": APP_ID },
        },
        "repository": payload(&repository, &commit)["repository"],
        "installation": { "id": INSTALLATION },
    });
    let (status, answer) = deliver(&service, "check_run", &asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let again = service.finished(answer["jobs"][0].as_str().unwrap()).await;
    assert_eq!((again.rerun_of.as_ref(), again.end()), (Some(&job), "error, exit: exit code 1".to_owned()));
}

#[tokio::test]
async fn a_token_that_github_takes_no_more_and_a_lost_answer_cost_no_check() {
    let (service, repository) = installed("tokens").await;
    let (commit, _) = push(&service, &repository, "print('first')").await;
    assert_eq!(service.forge.completed(&commit).await.conclusion.as_deref(), Some("success"));

    // GitHub ends tokens when a user changes the installation's rights.
    service.forge.expires_tokens();
    service.forge.outages([Outage::Lost]);
    let (commit, job) = push(&service, &repository, "print('second')").await;
    let run = service.forge.completed(&commit).await;
    assert_eq!((run.conclusion.as_deref(), run.external_id), (Some("success"), job));
    assert_eq!(service.forge.check_runs(&commit).len(), 1, "a lost answer makes no second run");
}

#[tokio::test]
async fn a_registration_with_a_token_makes_its_webhook_at_the_forge_and_takes_it_away() {
    let service = Service::start().await;
    let repository = service.forge.repository("hooked").await;
    let wish = json!({ "url": repository.url, "webhook": true });
    let made = tests::Api::json(service.post("/api/v1/repos", &wish).await, StatusCode::CREATED).await;
    let [hook] = &service.forge.hooks()[..] else { panic!("{made}") };
    assert_eq!(
        (hook.url.as_str(), hook.secret.as_str()),
        (made["webhook_url"].as_str().unwrap(), made["secret"].as_str().unwrap())
    );
    assert_eq!(hook.events, ["push", "pull_request", "check_run", "merge_group"]);
    let path = format!("/api/v1/repos/{}", made["id"].as_str().unwrap());
    let gone = service.send(service.request(http::Method::DELETE, &path)).await;
    assert!(gone.status().is_success());
    assert_eq!(service.forge.hooks(), []);
}

/// A request is given up after 10 s; by now the end of the job was posted.
const LATE: Duration = Duration::from_secs(25);

#[tokio::test]
async fn a_check_run_that_the_forge_makes_late_does_not_stay_queued() {
    let (service, repository) = installed("late").await;
    service.forge.outages([Outage::Late(LATE)]);
    let (commit, _) = push(&service, &repository, "print(1)").await;
    let runs = || {
        let runs = service.forge.check_runs(&commit);
        runs.into_iter().map(|run| run.statuses.last().cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    let mut news = service.forge.watch_checks();
    let looking = async {
        while runs() != ["completed", "completed"] {
            news.changed().await.expect("the forge lives");
        }
    };
    // The first look comes 20 s after a post.
    within(LATE * 4, "both runs to be completed", looking, async || runs()).await;
}
