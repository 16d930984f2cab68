//! How much one may ask for, and that it helps nobody to ask for more.

use futures_util::StreamExt as _;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::json;

use crate::{
    URL,
    support::{Answered as _, GITHUB_SECRET, Service},
};

async fn sent(request: crate::support::described::RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn waits(response: &Response) -> u64 {
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_user_who_asks_too_often_is_told_when_to_come_back_whatever_his_token() {
    let service = Service::with(&[("GITFAAS_MAX_REQUESTS_PER_MINUTE", "4")]).await;
    let (one, same) = (service.user("a@example.com").await, service.user("a@example.com").await);
    let other = service.user("b@example.com").await;
    for token in [&one, &same, &one, &same] {
        service.get("/api/v1/jobs", token).says(StatusCode::OK).await;
    }
    assert!((1..=16).contains(&waits(&sent(service.get("/api/v1/jobs", &one)).await)));
    let published = sent(service.get("/job/list-jobs", &same)).await;
    waits(&published);
    assert!(published.text().await.unwrap().starts_with(r#"{"error":"too many requests; try again in "#));
    service.get("/api/v1/jobs", &other).says(StatusCode::OK).await;
}

#[tokio::test]
async fn who_fails_ten_times_in_a_minute_is_slowed_down_but_not_his_neighbours() {
    let service = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (known, new) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let ask = |token: &str, from: &str| service.get("/api/v1/jobs", token).header("x-forwarded-for", from);
    ask(&known, "192.0.2.1").says(StatusCode::OK).await;
    for n in 0..10 {
        ask(&format!("gft_{n:032x}_0"), "192.0.2.1").says(StatusCode::UNAUTHORIZED).await;
    }
    let refused = sent(ask("gft_guess", "192.0.2.1")).await;
    assert!((1..=61).contains(&waits(&refused)));
    assert!(refused.text().await.unwrap().contains("too_fast"));
    ask(&known, "192.0.2.1").says(StatusCode::OK).await;
    waits(&sent(ask(&new, "192.0.2.1")).await);
    ask(&new, "192.0.2.2").says(StatusCode::OK).await;
    let form = service.request(Method::POST, "/login").form(&[("token", "gft_guess")]);
    waits(&sent(form.header("x-forwarded-for", "192.0.2.1")).await);
}

#[tokio::test]
async fn whoever_shows_no_token_is_counted_by_address_which_he_cannot_choose() {
    let service = Service::with(&[("GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE", "3")]).await;
    let token = service.user("a@example.com").await;
    service.get("/api/v1/jobs", &token).says(StatusCode::OK).await;
    for n in 0..2 {
        let ask =
            service.request(Method::GET, "/openapi.json").header("x-forwarded-for", format!("192.0.2.{n}"));
        ask.says(StatusCode::OK).await;
    }
    waits(&sent(service.request(Method::GET, "/openapi.json").header("x-forwarded-for", "192.0.2.9")).await);
    service.get("/api/v1/jobs", &token).says(StatusCode::OK).await;
    service.request(Method::GET, "/healthz").says(StatusCode::OK).await;
    let ping = || service.deliver("github", GITHUB_SECRET, "ping", "p", r#"{"zen":"x"}"#);
    for _ in 0..5 {
        ping().answers(StatusCode::OK).await;
    }
}

#[tokio::test]
async fn only_so_many_live_streams_are_open_for_a_user() {
    let service = Service::with(&[("GITFAAS_MAX_STREAMS_PER_USER", "2")]).await;
    let token = service.user("a@example.com").await;
    let other = service.user("b@example.com").await;
    let path = format!("/api/v1/jobs/{}/events", service.submit(&token, URL).await);
    let open = async |path: &str, token: &str| sent(service.get(path, token)).await;
    let mut first = open(&path, &token).await.bytes_stream();
    let _second = open(&path, &token).await;
    assert!(first.next().await.unwrap().is_ok());
    waits(&open(&path, &token).await);
    let elsewhere = format!("/api/v1/jobs/{}/events", service.submit(&other, URL).await);
    assert_eq!(open(&elsewhere, &other).await.status(), StatusCode::OK);
    drop(first);
    // The gateway notices a moment after the client went away.
    while open(&path, &token).await.status() != StatusCode::OK {}
}

#[tokio::test]
async fn deliveries_that_nobody_signed_are_limited_and_signed_ones_never() {
    let service = Service::start().await;
    let admin = service.admin().await;
    let id = service.register(&admin, json!({ "url": URL })).await;
    let (hook, secret) = (id["id"].as_str().unwrap(), id["secret"].as_str().unwrap());
    let forged = |n: usize| service.deliver(hook, "guess", "ping", &n.to_string(), "{}");
    for n in 0..60 {
        forged(n).says(StatusCode::UNAUTHORIZED).await;
    }
    waits(&sent(forged(60)).await);
    for n in 0..70 {
        service
            .deliver(hook, secret, "ping", &format!("s{n}"), r#"{"zen":"x"}"#)
            .answers(StatusCode::OK)
            .await;
    }
    let kept = service.get("/api/v1/deliveries", &admin).answers(StatusCode::OK).await;
    assert_eq!(kept["unsigned"].as_array().unwrap().len(), 20, "one hook's share");
}

#[tokio::test]
async fn repositories_and_tokens_of_a_user_are_limited() {
    let service =
        Service::with(&[("GITFAAS_MAX_REPOS_PER_USER", "1"), ("GITFAAS_MAX_TOKENS_PER_USER", "2")]).await;
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, json!({ "url": URL })).await;
    let again = service.post("/api/v1/repos", &token, &json!({ "url": URL }));
    again.answers(StatusCode::TOO_MANY_REQUESTS).await;
    let path = format!("/api/v1/repos/{}", repo["id"].as_str().unwrap());
    service.request(Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    service.register(&token, json!({ "url": URL })).await;
    service.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::CREATED).await;
    let over =
        service.post("/api/v1/tokens", &token, &json!({})).answers(StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(over["error"]["message"], "tokens: 2 of 2 are used; revoke a token");
}
