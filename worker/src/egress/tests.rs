//! The egress proxy against real servers on loopback, which an exception makes reachable.

use std::path::PathBuf;

use hooks::address::Allow;
use jobs::{LogSource, Phase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;

use super::{EgressProxy, Policy};
use crate::sandbox::Chunk;

/// A proxy in a directory of its own, and the refusals that it logs.
struct Fixture {
    dir: tempfile::TempDir,
    proxy: EgressProxy,
    sender: mpsc::Sender<Chunk>,
    logged: mpsc::Receiver<Chunk>,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let proxy = EgressProxy::serve(&dir.path().join("0.sock")).await.unwrap();
        let (sender, logged) = mpsc::channel(100);
        Self { dir, proxy, sender, logged }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("0.sock")
    }

    fn admit(&self, policy: Policy) -> super::PhaseGuard {
        self.proxy.admit(policy, Phase::Run, self.sender.clone())
    }

    async fn send(&self, request: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Everything that comes back until the proxy closes the connection.
    async fn ask(&self, request: &str) -> String {
        let mut answer = Vec::new();
        let _ = self.send(request).await.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

fn loopback() -> Allow {
    "127.0.0.1/32".parse().unwrap()
}

/// A server that answers one connection with what it was sent, after a fixed head.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&buffer[..count]).await.unwrap();
                let _ = stream.read(&mut buffer).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_ends_with_its_job() {
    let fixture = Fixture::new().await;
    let guard = fixture.admit(Policy::Public { allow: loopback() });
    let port = echo().await;
    let mut stream = fixture.send(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let mut buffer = [0; 1024];
    let count = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 200"));
    stream.write_all(b"hello").await.unwrap();
    let mut said = String::new();
    while !said.ends_with("hello") {
        let count = stream.read(&mut buffer).await.unwrap();
        said.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    drop(guard);
    assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_plain_request_arrives_in_origin_form_without_the_proxys_headers() {
    let fixture = Fixture::new().await;
    let _guard = fixture.admit(Policy::Public { allow: loopback() });
    let port = echo().await;
    let answer = fixture
        .ask(&format!(
            "GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\nhost: other\r\nproxy-authorization: x\r\nconnection: close\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("GET /a?b HTTP/1.1"), "{answer}");
    assert!(answer.contains(&format!("host: 127.0.0.1:{port}")), "{answer}");
    assert!(!answer.contains("proxy-authorization"), "{answer}");
}

#[tokio::test]
async fn a_refusal_is_403_with_a_sentence_and_one_line_in_the_log() {
    let mut fixture = Fixture::new().await;
    let guard = fixture.admit(Policy::Public { allow: Allow::none() });
    for _ in 0..3 {
        let answer =
            fixture.ask("CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("no public address"), "{answer}");
    }
    drop(guard);
    let note = fixture.logged.recv().await.unwrap();
    assert_eq!(note.source, LogSource::Gitfaas);
    insta::assert_snapshot!(String::from_utf8_lossy(&note.bytes), @"network: 169.254.169.254:80 refused: 169.254.169.254 has no public address");
    assert!(fixture.logged.try_recv().is_err());
}

#[tokio::test]
async fn nothing_passes_while_no_job_is_active() {
    let fixture = Fixture::new().await;
    let port = echo().await;
    drop(fixture.admit(Policy::Public { allow: loopback() }));
    let answer = fixture.ask(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn what_is_no_proxy_request_is_a_bad_one() {
    let fixture = Fixture::new().await;
    let _guard = fixture.admit(Policy::Public { allow: loopback() });
    for request in ["GET /", "GET https://example.org/", "GET http://example.org:99999/"] {
        let answer =
            fixture.ask(&format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_socket_whose_path_is_too_long_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let error = EgressProxy::serve(&dir.path().join("x".repeat(120))).await.unwrap_err();
    assert!(error.to_string().contains("shorter path"), "{error}");
}
