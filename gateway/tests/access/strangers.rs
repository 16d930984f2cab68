//! What one address holds open, nobody else misses: connections, bodies that drip, and waiting calls.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    URL,
    support::{Answered as _, PATIENCE, Service},
};

/// Whom nobody knows.
const STRANGER: &str = "127.0.0.2:0";
/// Some two megabytes, as a large push of a monorepo.
const LARGE: usize = 2_000_000;

/// A connection from another address of this machine.
async fn connected(service: &Service, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse::<SocketAddr>().unwrap()).unwrap();
    socket.connect(service.address).await.unwrap()
}

async fn sends(service: &Service, from: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = connected(service, from).await;
    // One that was turned away meanwhile takes nothing any more.
    let _ = stream.write_all(bytes).await;
    stream
}

/// What is still said on a connection until it is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = reading.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn unfinished_requests_of_one_address_lock_nobody_out() {
    let service = Service::with(&[("GITFAAS_MAX_CONNECTIONS", "8")]).await;
    let token = service.user("a@example.com").await;
    let job = service.submit(&token, URL).await;
    let live = service.get(&format!("/api/v1/jobs/{job}/events"), &token).send().await.unwrap();
    assert_eq!(live.status(), StatusCode::OK);
    let unfinished = b"GET / HTTP/1.1\r\nhost: x\r\n";
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(sends(&service, STRANGER, unfinished).await);
    }
    // Bodies that do not come to their end are no better than heads.
    for _ in 0..12 {
        let begun = b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\ntoken";
        held.push(sends(&service, STRANGER, begun).await);
    }
    service.get("/api/v1/jobs", &token).says(StatusCode::OK).await;
    // Its own share is a quarter: of 24 the last two are left, each of the others was closed for a newer one.
    let last = held.split_off(22);
    assert!(join_all(held.into_iter().map(rest)).await.iter().all(String::is_empty));
    assert!(last.iter().all(is_open));
    let mut live = live;
    let finished = async {
        service.run(job, "a line", b"3.14").await;
        let mut text = String::new();
        while let Some(bytes) = live.chunk().await.unwrap() {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(PATIENCE, finished).await.unwrap();
    assert!(text.contains("\"state\":\"finish\""), "a live stream is not idle: {text}");
}

#[tokio::test]
async fn whoever_is_behind_a_trusted_proxy_counts_as_soon_as_it_names_the_client() {
    let service = Service::with(&[
        ("GITFAAS_MAX_CONNECTIONS", "12"),
        ("GITFAAS_MAX_CONNECTIONS_PER_ADDRESS", "2"),
        ("GITFAAS_TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let token = service.user("a@example.com").await;
    let job = service.submit(&token, URL).await;
    let live = |from: &str| {
        let path = format!("/api/v1/jobs/{job}/events");
        service.get(&path, &token).header("x-forwarded-for", from).send()
    };
    let (one, two) = (live("2001:db8::1").await.unwrap(), live("2001:db8::2").await.unwrap());
    assert_eq!((one.status(), two.status()), (StatusCode::OK, StatusCode::OK));
    let third = live("2001:db8::3").await.unwrap();
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS, "one network of 64 bits is one client");
    assert!(third.text().await.unwrap().contains("too many connections of this address are open"));
    assert_eq!(live("2001:db8:0:1::1").await.unwrap().status(), StatusCode::OK);
    drop(one);
    // The gateway notices a moment after the client went away.
    while live("2001:db8::1").await.unwrap().status() != StatusCode::OK {}
    // Who comes without the proxy may write into the header whatever is liked.
    let begun = b"POST /login HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\ncontent-length: 9\r\n\r\n";
    let first = sends(&service, STRANGER, begun).await;
    let _second = sends(&service, STRANGER, begun).await;
    let _third = sends(&service, STRANGER, begun).await;
    assert_eq!(rest(first).await, "");
}

#[tokio::test]
async fn large_deliveries_go_through_while_a_stranger_drips() {
    let service = Service::start().await;
    let admin = service.admin().await;
    let repo = service.register(&admin, json!({ "url": URL })).await;
    let (hook, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let other = service.register(&admin, json!({ "url": "https://127.0.0.1/a/tau.git" })).await;
    let other = other["id"].as_str().unwrap();
    let head = |hook: &str| {
        format!("POST /webhooks/{hook} HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n").into_bytes()
    };
    let begun = |hook: &str| [head(hook), vec![b' '; LARGE - 1]].concat();
    // More than the whole share of the hook that is waited for; then more than its own, at others.
    let mut held = Vec::new();
    for n in 0..64 {
        let bytes = begun(if n < 32 { hook } else { [other, "github"][n % 2] });
        held.push(sends(&service, STRANGER, &bytes).await);
    }
    for _ in 0..16 {
        held.push(sends(&service, STRANGER, &head(hook)).await);
    }
    let body = format!(r#"{{"zen":"{}"}}"#, "x".repeat(LARGE));
    for n in 0..3 {
        let began = std::time::Instant::now();
        let sent = service.deliver(hook, secret, "ping", &n.to_string(), &body);
        sent.answers(StatusCode::OK).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // What is dripped is not waited for: some were dropped for others, all others came too slowly.
    let said = join_all(held.into_iter().skip(64).map(rest)).await;
    let is_refused = |said: &String| said.is_empty() || said.starts_with("HTTP/1.1 4");
    assert!(said.iter().all(is_refused), "{said:?}");
    assert!(said.iter().any(|said| said.starts_with("HTTP/1.1 408")), "{said:?}");
}

#[tokio::test]
async fn who_waits_for_too_many_calls_is_answered_at_once_and_nobody_else() {
    let service = Service::with(&[("GITFAAS_MAX_CONNECTIONS", "16")]).await;
    let token = service.user("a@example.com").await;
    let other = service.user("b@example.com").await;
    let wait = |token: &str, name: &str| {
        service.post("/api/v1/jobs?wait=60", token, &json!({ "repo": URL, "name": name })).send()
    };
    let ends_third = async {
        while service.all_jobs().await.len() < 2 {}
        // Two of them wait: an eighth of all connections.
        let third = wait(&token, "third").await.unwrap();
        assert_eq!(third.status(), StatusCode::ACCEPTED, "as if the time were up");
        let others = async {
            while service.all_jobs().await.len() < 4 {}
            for job in service.all_jobs().await {
                service.run(job.spec.id, "a line", b"3.14").await;
            }
        };
        let (waited, ()) = tokio::join!(wait(&other, "others"), others);
        assert_eq!(waited.unwrap().status(), StatusCode::OK);
    };
    let (one, two, ()) = tokio::join!(wait(&token, "one"), wait(&token, "two"), ends_third);
    assert_eq!((one.unwrap().status(), two.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    service.request(Method::GET, "/healthz").says(StatusCode::OK).await;
}

#[tokio::test]
async fn a_links_reader_who_takes_nothing_holds_only_so_much() {
    let service = Service::with(&[("GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE", "100000")]).await;
    let owner = service.user("owner@example.com").await;
    let job = service.submit(&owner, URL).await;
    // As a page it is more than the kernel takes for a client that reads nothing: each becomes `&#60;`.
    let log = "<".repeat(1_900_000);
    service.run(job, &log, b"3.14").await;
    let path = format!("/jobs/{job}?key={}", crate::links::key(&service, job));
    let asks = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let asked = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(STRANGER.parse().unwrap()).unwrap();
        let mut stream = socket.connect(service.address).await.unwrap();
        stream.write_all(asks.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        (String::from_utf8(status.to_vec()).unwrap(), stream)
    };
    let mut held = Vec::new();
    for _ in 0..16 {
        let (status, stream) = asked().await;
        assert_eq!(status, "HTTP/1.1 200");
        held.push(stream);
    }
    assert_eq!(asked().await.0, "HTTP/1.1 429");
    assert!(service.request(Method::GET, &path).says(StatusCode::OK).await.len() > 4 * log.len());
    service.get(&format!("/api/v1/jobs/{job}/log"), &owner).says(StatusCode::OK).await;
    drop(held);
    // The gateway notices a moment after the client went away.
    while asked().await.0 != "HTTP/1.1 200" {}
}
