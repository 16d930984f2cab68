//! A stranger who claims another's repository, at a forge that tells whose it is: in every way that there is,
//! and at every route, nothing of the owner's is seen, and the owner's registration goes on posting.

use futures_util::future::join_all;
use jobs::JobId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    github::{ADMIN_TOKEN, BLIND_TOKEN, Github},
    support::{Answered as _, GITHUB_SECRET, Service},
};

/// The forge's numbers of the owner's repository and of the stranger's.
const NUMBERS: (u64, u64) = (77, 7);
/// What the owner's job writes and returns: words that are nowhere else.
const WORDS: [&str; 2] = ["planted-in-the-log", "planted-in-the-result"];

fn push(github: &Github, id: u64, name: &str, branch: &str, after: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": after.repeat(40),
        "repository": { "id": id, "full_name": name, "clone_url": format!("{}/{name}.git", github.url) },
        "head_commit": { "message": "work" },
    })
    .to_string()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

fn first_job(answer: &Value) -> JobId {
    answer["jobs"][0].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

#[tokio::test]
async fn who_claims_anothers_repository_sees_and_stops_nothing() {
    let github = Github::start().await;
    github.install(1, &[(NUMBERS.0, "a/secret"), (NUMBERS.1, "b/own")]);
    let variables =
        [("GITFAAS_GITHUB_API_URL", github.url.as_str()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32")];
    let service = Service::with(&variables).await;
    let (a, b) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let url = |name: &str| format!("{}/{name}", github.url);
    let with = |name: &str, token: &str| json!({ "url": url(name), "token": token, "webhook": false });

    // The stranger comes first, and again afterwards.
    let mut claims = vec![
        service.register(&b, with("a/secret", BLIND_TOKEN)).await,
        service.register(&b, json!({ "url": url("a/secret") })).await,
        service.register(&b, with("b/own", ADMIN_TOKEN)).await,
    ];
    let owners = service.register(&a, with("a/secret", &format!("{ADMIN_TOKEN}_of_a"))).await;
    assert_eq!(owners["posts"], true, "{owners}");
    claims.push(service.register(&b, with("a/secret", "none-of-the-forge's")).await);
    let (hook, secret) = (text(&owners, "id"), text(&owners, "secret"));

    let key = format!("/api/v1/repos/{hook}/secrets/PLANTED_KEY");
    let put = service.request(Method::PUT, &key).bearer_auth(&a).body("planted-in-the-secret");
    put.says(StatusCode::CREATED).await;
    let body = push(&github, NUMBERS.0, "a/secret", "planted-branch", "a");
    let taken = service.deliver(&hook, &secret, "push", "1", &body).answers(StatusCode::ACCEPTED).await;
    let job_id = first_job(&taken);
    service.run(job_id, WORDS[0], WORDS[1].as_bytes()).await;
    let delivery = text(&taken, "delivery");

    // Own hooks, with everything that could be said there of the owner's repository.
    let lies = [
        push(&github, NUMBERS.0, "a/secret", "main", "1"),
        push(&github, NUMBERS.0, "b/own", "main", "2"),
        push(&github, NUMBERS.1, "a/secret", "main", "3"),
        push(&github, NUMBERS.0, "b/renamed", "main", "4"),
    ];
    for (n, claim) in claims.iter().enumerate() {
        let (hook, secret) = (text(claim, "id"), text(claim, "secret"));
        let told =
            join_all(lies.iter().enumerate().map(|(m, lie)| {
                service.deliver(&hook, &secret, "push", &format!("lie-{n}-{m}"), lie).send()
            }));
        assert!(told.await.into_iter().all(|answer| answer.unwrap().status().as_u16() < 500));
        // Others' hooks are not opened by an own secret.
        for hook in ["github", &*text(&owners, "id")] {
            let told = service.deliver(hook, &secret, "push", "forged", &lies[0]);
            told.answers(StatusCode::UNAUTHORIZED).await;
        }
    }

    // What is told of the owner's repository is the owner's.
    let body = push(&github, NUMBERS.0, "a/secret", "planted-branch", "b");
    let told =
        service.deliver("github", GITHUB_SECRET, "push", "2", &body).answers(StatusCode::ACCEPTED).await;
    let next = first_job(&told);
    let next = service.ledger.job(next).await.unwrap().unwrap().value;
    assert_eq!(
        (next.spec.repo.unwrap().to_string(), next.spec.context.as_deref()),
        (hook.clone(), Some("gitfaas/push"))
    );

    // Every route that shows something, about what is the owner's and about what is the stranger's own.
    let own: Vec<String> = {
        let list = service.get("/api/v1/deliveries?limit=100", &b).answers(StatusCode::OK).await;
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| text(item, "id")).collect()
    };
    let jobs = service.get("/api/v1/jobs?limit=100", &b).answers(StatusCode::OK).await;
    let jobs: Vec<String> = jobs["items"].as_array().unwrap().iter().map(|job| text(job, "id")).collect();
    let repos: Vec<String> = claims.iter().map(|claim| text(claim, "id")).collect();
    let theirs = [hook.clone(), job_id.to_string(), next.spec.id.to_string(), delivery.clone()];
    let ids = theirs.iter().chain(&own).chain(&jobs).chain(&repos);
    let mut seen = String::new();
    for id in ids {
        for (method, route) in gateway::endpoints() {
            if method != "GET"
                || route.contains("/assets/")
                || route == "/metrics"
                || route.ends_with("/events")
            {
                continue;
            }
            let mut path = route.replace("{id}", id);
            if route == "/api/v1/deliveries" {
                path = format!("{path}?repo={id}");
            }
            let pages = ["/", "/jobs/{id}", "/deliveries/{id}", "/tokens", "/device"];
            let request = service.request(Method::GET, &path);
            let request = match route.as_str() {
                _ if pages.contains(&route.as_str()) => {
                    request.header("cookie", format!("gitfaas_session={b}"))
                }
                _ if route.starts_with("/job/") => request.bearer_auth(&b).json(&json!({ "jobID": id })),
                _ => request.bearer_auth(&b),
            };
            let response = request.send().await.unwrap();
            // An id that is asked for may come back in the refusal of what it is not.
            let (status, body) = (response.status(), response.text().await.unwrap());
            if status.is_success() {
                seen += &format!("{method} {path}: {body}\n");
            }
        }
    }
    assert!(jobs.len() > 1 && seen.contains(&jobs[0]) && seen.contains(&repos[0]), "own things are seen");
    let ids = theirs.iter().map(String::as_str);
    for planted in
        WORDS.into_iter().chain(["planted-in-the-secret", "PLANTED_KEY", "planted-branch"]).chain(ids)
    {
        let shown =
            seen.lines().find(|line| line.split_once(": ").is_some_and(|(_, body)| body.contains(planted)));
        assert_eq!(shown, None, "{planted} is shown");
    }
    for claim in &claims {
        let view =
            service.get(&format!("/api/v1/repos/{}", text(claim, "id")), &b).answers(StatusCode::OK).await;
        let is_own = view["url"] == json!(url("b/own"));
        assert_eq!(view["posts"], json!(is_own), "{view}");
        let removed = service.request(Method::DELETE, &format!("/api/v1/repos/{}", text(claim, "id")));
        assert!(removed.bearer_auth(&b).send().await.unwrap().status().is_success());
    }
    let view = service.get(&format!("/api/v1/repos/{hook}"), &a).answers(StatusCode::OK).await;
    // That somebody signs wrongly is shown to the owner, and stops nothing.
    let problems = view["problems"].as_array().unwrap();
    assert!(problems.iter().all(|problem| problem["about"] == "signature"), "{view}");
    assert_eq!(view["posts"], true, "{view}");
}
