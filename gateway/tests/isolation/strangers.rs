//! What strangers and other users try at functions.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jobs::{JobId, Outcome};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;
use test_case::test_case;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Answered as _, Service, function::Function};

fn ask(service: &Service, method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, format!("http://{}{path}", service.address))
}

/// Makes a call whose answer is fetched later, and returns its job and where the answer will be.
async fn called(call: RequestBuilder) -> (JobId, String) {
    let response = call.header("prefer", "respond-async").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    (header("gitfaas-job").parse().unwrap(), header("location"))
}

#[tokio::test]
async fn a_401_of_a_function_is_no_failed_sign_in_and_one_of_ours_is() {
    let function = Function::public(&[], json!({ "response": "cgi" })).await;
    let service = &function.service;
    let (_, answer) = called(ask(service, Method::POST, "/f/pi")).await;
    function.run(b"Status: 401\n\nwho are you?", &Outcome::Finished).await;
    let statuses = async |path: &str, header: &'static str, value: &str| {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            let response: Response =
                ask(service, Method::GET, path).header(header, value).send().await.unwrap();
            statuses.push(response.status().as_u16());
        }
        statuses
    };
    assert_eq!(statuses(&answer, "authorization", "Bearer of.the.functions").await, [401; 12]);
    // Functions take no cookie: who opens a private one in a browser has not failed to sign in.
    let cookie = format!("gitfaas_session={}", function.token);
    assert_eq!(statuses("/f/tau", "cookie", &cookie).await, [401; 12]);
    let ours = statuses("/f/tau", "authorization", "Bearer gft_nonsense").await;
    assert_eq!(ours, [[401; 10].as_slice(), &[429; 2]].concat());
    service.get("/api/v1/whoami", &function.token).answers(StatusCode::OK).await;
}

#[tokio::test]
async fn no_function_is_told_a_credential_of_ours() {
    let function = Function::public(&[], json!({})).await;
    let token = function.service.user("b@example.com").await;
    let told = async |header: &'static str, value: &str| {
        let (job, _) = called(ask(&function.service, Method::POST, "/f/pi").header(header, value)).await;
        let told = function.told(job).await;
        let variable = format!("HTTP_{}", header.to_uppercase());
        told.into_iter().find(|(name, _)| *name == variable).map(|(_, value)| value)
    };
    let password = |password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("x:{password}")));
    for ours in [format!("Bearer {token}"), format!("Token {token}"), token.clone(), password(&token)] {
        assert_eq!(told("authorization", &ours).await, None, "{ours}");
    }
    let foreign = password("of the function");
    assert_eq!(told("authorization", &foreign).await, Some(foreign));
    let cookies = ["gitfaas_session", "__Host-gitfaas_session", "gitfaas_login", "__Host-gitfaas_login"];
    let cookies = cookies.map(|name| format!("{name}=x")).join("; ");
    assert_eq!(told("cookie", &cookies).await, None);
    assert_eq!(told("cookie", &format!("{cookies}; a=b")).await.as_deref(), Some("a=b"));
}

#[tokio::test]
async fn whoever_waits_for_an_answer_takes_no_wait_of_the_owner() {
    // Two calls of one user, and of one address, may wait.
    let few = [("GITFAAS_MAX_CONNECTIONS", "16"), ("GITFAAS_MAX_CONNECTIONS_PER_ADDRESS", "16")];
    let function = Function::public(&few, json!({})).await;
    let service = &function.service;
    let (job, answer) = called(ask(service, Method::POST, "/f/pi")).await;
    let held = service.claim(job).await;
    let wait = || ask(service, Method::GET, &answer).header("prefer", "wait=300").send();
    let mut waiting: FuturesUnordered<_> = (0..3).map(|_| wait()).collect();
    let third = waiting.next().await.unwrap().unwrap();
    assert_eq!(third.status(), StatusCode::ACCEPTED, "as if its time were up");
    let own = ask(service, Method::GET, "/f/pi").bearer_auth(&function.token).send();
    let (own, _) = tokio::join!(own, function.run(b"own", &Outcome::Finished));
    assert_eq!(own.unwrap().status(), StatusCode::OK, "the owner waits");
    service.finish(held, b"3.14").await;
    while let Some(response) = waiting.next().await {
        assert_eq!(response.unwrap().text().await.unwrap(), "3.14");
    }
}

#[tokio::test]
async fn an_idempotency_key_and_an_answer_lead_to_ones_own_call_alone() {
    let function = Function::public(&[], json!({})).await;
    let service = &function.service;
    let keyed = || ask(service, Method::POST, "/f/pi").header("idempotency-key", "k");
    let (own, own_answer) = called(keyed().bearer_auth(&function.token)).await;
    let (public, public_answer) = called(keyed()).await;
    let other = service.user("b@example.com").await;
    let (others, _) = called(keyed().bearer_auth(&other)).await;
    assert_ne!(own, public, "the owner's key is another one");
    assert_eq!(others, public, "who may not call it otherwise is the public");
    let mac = |answer: &str| answer.rsplit_once('.').unwrap().1.to_owned();
    for foreign in [
        format!("/f/pi/-/calls/{own}.{}", mac(&public_answer)),
        format!("/f/pi/-/calls/{own}."),
        format!("/f/pi/-/calls/{own}"),
        own_answer.replace("/pi/", "/tau/"),
        own_answer.replace("/calls/", "/calls//"),
    ] {
        let response = ask(service, Method::GET, &foreign).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{foreign}");
    }
}

const MANY: usize = 70 * 1024;

#[test_case("GET /f/ HTTP/1.1", "" => 404 ; "no function")]
#[test_case("GET /f/../api/v1/jobs HTTP/1.1", "" => 401 ; "a step up is a name")]
#[test_case("GET /f/%2e%2e%2fapi HTTP/1.1", "" => 401 ; "an escaped one")]
#[test_case("GET /f/pi%00 HTTP/1.1", "" => 401 ; "NUL in a name")]
#[test_case("GET /f/pi@%0d%0aX:%20y HTTP/1.1", "" => 404 ; "lines in a version")]
#[test_case("GET /f/pi/%ff HTTP/1.1", "" => 400 ; "a path that is no text")]
#[test_case("GET /f/pi HTTP/1.1", "Content-Length: 3\r\nContent-Length: 4\r\n" => 400 ; "two different lengths")]
#[test_case("GET /f/pi HTTP/1.1", "X-A : 1\r\n" => 400 ; "a blank before the colon")]
#[test_case("GET /f/pi HTTP/1.1", "X-Long: *\r\n" => 431 ; "longer than variables may be")]
#[tokio::test]
async fn odd_requests_are_refused_and_make_no_job(line: &str, headers: &str) -> u16 {
    let function = Function::public(&[], json!({})).await;
    let jobs = function.service.all_jobs().await.len();
    let mut stream = TcpStream::connect(function.service.address).await.unwrap();
    let headers = headers.replace('*', &"x".repeat(MANY));
    let request = format!("{line}\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer: {answer}");
    assert_eq!(function.service.all_jobs().await.len(), jobs);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
