//! Logs and live events, the link behind a status, pages, and what workers are granted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use eventsource_stream::{Event, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use jobs::{
    CommitStatus, LogSource, Phase, WorkerName,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
    streams,
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service, push};

const URL: &str = "https://example.com/a/pi.git";

async fn events(request: support::described::RequestBuilder) -> impl Stream<Item = Event> + Unpin {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes_stream().eventsource().map(|event| event.unwrap())
}

async fn next(events: &mut (impl Stream<Item = Event> + Unpin), kind: &str) -> (Value, String) {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().expect("the stream goes on");
        if event.event == kind {
            return (serde_json::from_str(&event.data).unwrap(), event.id);
        }
    }
}

#[tokio::test]
async fn a_log_is_text_and_any_range_of_it() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let id = service.submit(&token, URL).await;
    let path = format!("/api/v1/jobs/{id}/log");
    assert_eq!(service.get(&path, &token).says(StatusCode::OK).await, "");
    service.run(id, "0123456789", b"").await;
    assert_eq!(service.get(&path, &token).says(StatusCode::OK).await, "0123456789");
    let part = service.get(&path, &token).header(header::RANGE, "bytes=3-5").send().await.unwrap();
    assert_eq!(
        (part.status(), &part.headers()[header::CONTENT_RANGE]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 3-5/10".parse().unwrap())
    );
    assert_eq!(part.text().await.unwrap(), "345");
    let outside = service.get(&path, &token).header(header::RANGE, "bytes=10-").send().await.unwrap();
    assert_eq!(
        (outside.status(), &outside.headers()[header::CONTENT_RANGE]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */10".parse().unwrap())
    );
}

#[tokio::test]
async fn events_come_live_resume_where_they_were_and_end_after_the_final_state() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let id = service.submit(&token, URL).await;
    let path = format!("/api/v1/jobs/{id}/events");
    let mut live = events(service.get(&path, &token)).await;
    assert_eq!(next(&mut live, "state").await.0["state"], "pending");
    let claim = service.claim(id).await;
    assert_eq!(next(&mut live, "state").await.0["state"], "working");
    let log = service.log(&claim);
    log.handle().write(Phase::Prepare, LogSource::Stderr, "first\n".into());
    let (first, last_id) = next(&mut live, "log").await;
    assert_eq!(first, json!({ "offset": 0, "source": "stderr", "phase": "prepare", "text": "first\n" }));
    assert_eq!(last_id, "1.6");
    drop(live);
    log.handle().write(Phase::Run, LogSource::Stdout, "sécond\n".into());
    let mut resumed = events(service.get(&path, &token).header("last-event-id", last_id)).await;
    let (second, _) = next(&mut resumed, "log").await;
    assert_eq!((&second["offset"], &second["text"]), (&json!(6), &json!("sécond\n")));
    log.handle().write(Phase::Run, LogSource::Stdout, "last\n".into());
    assert!(log.close(PATIENCE).await);
    service.finish(claim, b"42").await;
    assert_eq!(next(&mut resumed, "log").await.0["text"], "last\n");
    let (end, _) = next(&mut resumed, "state").await;
    assert_eq!((&end["state"], &end["result"]), (&json!("finish"), &json!("42")));
    assert!(tokio::time::timeout(PATIENCE, resumed.next()).await.unwrap().is_none());
}

/// Ends within some two seconds, whatever comes before.
async fn ends_soon(mut events: impl Stream<Item = Event> + Unpin) {
    let ended = async { while events.next().await.is_some() {} };
    let soon = Duration::from_secs(4);
    tokio::time::timeout(soon, ended).await.expect("the stream ends");
}

#[tokio::test]
async fn a_stream_ends_soon_after_what_let_its_reader_in() {
    let service = Service::start().await;
    let other = service.another().await;
    let owner = service.user("owner@example.com").await;
    let viewer = service.user("viewer@example.com").await;
    let wishes = json!({ "url": URL, "viewers": ["viewer@example.com"] });
    let repo = service.register(&owner, wishes).await["id"].as_str().unwrap().to_owned();
    let job = service.submit(&owner, &repo).await;
    let path = format!("/api/v1/jobs/{job}/events");
    let made = service.post("/api/v1/tokens", &owner, &json!({ "name": "lent" }));
    let made = made.answers(StatusCode::CREATED).await;
    let lent = made["token"].as_str().unwrap();

    let mut of_owner = events(service.get(&path, &owner)).await;
    let of_viewer = events(service.get(&path, &viewer)).await;
    let of_lent = events(service.get(&path, lent)).await;
    let wish = json!({ "repo": URL });
    let waiting = service.post("/api/v1/jobs?wait=60", lent, &wish).send();
    let revoking = async {
        let token = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
        // Not before it waits.
        while service.all_jobs().await.len() < 2 {}
        other.request(Method::DELETE, &token).bearer_auth(&owner).says(StatusCode::NO_CONTENT).await;
        let change = other.request(Method::PATCH, &format!("/api/v1/repos/{repo}")).bearer_auth(&owner);
        change.json(&json!({ "viewers": [] })).answers(StatusCode::OK).await;
        tokio::join!(ends_soon(of_viewer), ends_soon(of_lent));
    };
    let (waited, ()) = tokio::join!(waiting, revoking);
    assert_eq!(waited.unwrap().status(), StatusCode::UNAUTHORIZED);
    service.claim(job).await;
    while next(&mut of_owner, "state").await.0["state"] != "working" {}
}

#[tokio::test]
async fn the_link_of_a_status_opens_one_job_and_nothing_else() {
    let service = Service::with(&[
        ("GITFAAS_GITHUB_TOKEN", "ghp_operator"),
        ("GITFAAS_PUBLIC_URL", "https://faas.example.com"),
    ])
    .await;
    let admin = service.admin().await;
    let url = "https://github.com/a/pi";
    let repo = service.register(&admin, json!({ "url": url })).await;
    service.confirmed(&repo, 7).await;
    let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let taken =
        service.deliver(id, secret, "push", "1", &push(url, "0", "a")).answers(StatusCode::ACCEPTED).await;
    let job = taken["jobs"][0].as_str().unwrap().parse().unwrap();
    let commit = service.ledger.commits.keys().await.unwrap().remove(0);
    let request = GrantRequest::Status { commit: commit.clone(), job };
    assert!(matches!(ask(&service, "w1", &request).await, GrantReply::Unavailable { .. }));
    let taken = |entry: &Entry<CommitStatus>| Some(CommitStatus::clone(&entry.value.claim("me")));
    service.ledger.commits.change(&commit, taken).await.unwrap();
    let GrantReply::Status(grant) = ask(&service, "w1", &request).await else {
        panic!("a status grant is given")
    };
    assert_eq!((grant.forge.as_str(), grant.owner.as_str(), grant.name.as_str()), ("github", "a", "pi"));
    assert_eq!((grant.api_url.as_str(), grant.token.as_str()), ("https://api.github.com/", "ghp_operator"));
    let query =
        grant.target_url.strip_prefix(&format!("https://faas.example.com/jobs/{job}?")).unwrap().to_owned();
    for path in ["", "/log", "/events"] {
        let asked = service.request(Method::GET, &format!("/api/v1/jobs/{job}{path}?{query}"));
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    let page = service.request(Method::GET, &format!("/jobs/{job}?{query}")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
    assert!(!page.text().await.unwrap().contains("Cancel"));
    let other = service.submit(&admin, URL).await;
    service
        .request(Method::GET, &format!("/api/v1/jobs/{other}?{query}"))
        .answers(StatusCode::NOT_FOUND)
        .await;
    service
        .request(Method::POST, &format!("/api/v1/jobs/{job}/cancel?{query}"))
        .answers(StatusCode::UNAUTHORIZED)
        .await;
    let by_link = events(service.request(Method::GET, &format!("/api/v1/jobs/{job}/events?{query}"))).await;
    let links = json!({ "links": "login" });
    let change =
        service.request(Method::PATCH, &format!("/api/v1/repos/{id}")).bearer_auth(&admin).json(&links);
    change.answers(StatusCode::OK).await;
    service.request(Method::GET, &format!("/api/v1/jobs/{job}?{query}")).answers(StatusCode::NOT_FOUND).await;
    ends_soon(by_link).await;
}

/// Asks as a worker of this name does.
async fn ask(service: &Service, worker: &str, request: &GrantRequest) -> GrantReply {
    let worker: WorkerName = worker.parse().unwrap();
    let bytes = serde_json::to_vec(request).unwrap();
    let reply = service.ledger.client.request(streams::grants(&worker), bytes.into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

#[tokio::test]
async fn a_worker_gets_a_credential_for_its_own_attempt_and_only_where_it_belongs() {
    let service = Service::with(&[("GITFAAS_GITHUB_TOKEN", "ghp_operator")]).await;
    let user = service.user("a@example.com").await;
    let own_token = service.register(&user, json!({ "url": URL, "forge": "plain", "token": "t0ken" })).await;
    let foreign = service.register(&user, json!({ "url": "https://github.com/a/private" })).await;
    let granted = async |repo: &str| {
        let job = service.submit(&user, repo).await;
        let claim = service.claim(job).await;
        let request = GrantRequest::Job { job, attempt: 1, secrets: vec!["API_KEY".to_owned()] };
        assert!(matches!(ask(&service, "w2", &request).await, GrantReply::Refused { .. }));
        let other = GrantRequest::Job { job, attempt: 2, secrets: Vec::new() };
        assert!(matches!(ask(&service, "w1", &other).await, GrantReply::Refused { .. }));
        let GrantReply::Job(grant) = ask(&service, "w1", &request).await else {
            panic!("it is w1's attempt")
        };
        assert_eq!(grant.missing_secrets, ["API_KEY"]);
        service.finish(claim, b"").await;
        grant.clone.map(|credential| (credential.user, credential.token))
    };
    let own = granted(own_token["id"].as_str().unwrap()).await;
    assert_eq!(own, Some(("git".to_owned(), "t0ken".to_owned())));
    assert_eq!(granted(foreign["id"].as_str().unwrap()).await, None);
    assert_eq!(granted(URL).await, None);
}

#[tokio::test]
async fn a_page_takes_a_token_and_a_form_of_another_site_does_nothing() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let id = service.submit(&token, URL).await;
    let asks = service.request(Method::GET, &format!("/jobs/{id}")).says(StatusCode::UNAUTHORIZED).await;
    assert!(asks.contains("API token"), "{asks}");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let at = |path: &str| format!("http://{}{path}", service.address);
    let form = [("token", token.as_str()), ("next", "//evil.example")];
    let signed_in = http.post(at("/login")).form(&form).send().await.unwrap();
    assert_eq!(
        (signed_in.status(), &signed_in.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/".parse().unwrap())
    );
    let cookie = signed_in.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = http.get(at(&format!("/jobs/{id}"))).header(header::COOKIE, cookie).send().await.unwrap();
    let own_files = format!("script-src {}/assets/;", service.address);
    assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains(&own_files));
    let page = page.text().await.unwrap();
    let word = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let cancel = |word: &str| {
        http.post(at(&format!("/jobs/{id}/cancel")))
            .header(header::COOKIE, cookie)
            .form(&[("form", word)])
            .send()
    };
    assert_eq!(cancel("guess").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(cancel(word).await.unwrap().status(), StatusCode::SEE_OTHER);
    let home = http.get(at("/")).header(header::COOKIE, cookie).send().await.unwrap().text().await.unwrap();
    assert!(home.contains(&id.to_string()) && home.contains("cancelled"), "{home}");
    // A cookie alone writes nothing through the API.
    let api = http
        .post(at(&format!("/api/v1/jobs/{id}/rerun")))
        .header(header::COOKIE, cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(api.status(), StatusCode::UNAUTHORIZED);
}
