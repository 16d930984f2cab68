//! What jobs do not reach of the machine that they run on, and what an operator denies: with real jobs, in a
//! network of this test's own, whose loopback has an address that looks public.

use std::process::Command;

use tests::{Function, Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// No machine's, as far as this network goes.
const OWN: &str = "11.22.33.44";
const ASKS: &str = "import sys, urllib.request, urllib.error\ntry:\n    print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode(), end='')\nexcept urllib.error.HTTPError as error:\n    print(error.code, error.read().decode(), end='')";

/// The test below in a network of its own: a process enters one before it has threads.
#[test]
fn a_job_reaches_its_machine_only_by_exception_and_never_what_is_denied() {
    let program = std::env::current_exe().expect("a test has a file");
    let own_network = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    let inside = Command::new("unshare")
        .arg(own_network)
        .arg(program)
        .args(["--ignored", "--exact", "inside_of_a_network_of_its_own", "--nocapture"])
        .output()
        .expect("util-linux is here");
    let said =
        format!("{}{}", String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn inside_of_a_network_of_its_own() {
    ip(&["link", "set", "lo", "up"]);
    ip(&["address", "add", &format!("{OWN}/32"), "dev", "lo"]);
    let listener = TcpListener::bind((OWN, 0)).await.expect("the address is ours");
    let port = listener.local_addr().expect("it is bound").port();
    let answering = tokio::spawn(answer(listener));
    let refused = |why: &str| format!("403 {OWN}:{port} refused: {OWN} {why}\n");
    let own = refused("is this service's own machine, and the operator made no exception for it");
    let denied = refused("is denied by the operator of this service");

    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], &own),
        (&[("GITFAAS_RUN_ALLOW", OWN)], "private"),
        (&[("GITFAAS_RUN_ALLOW", OWN), ("GITFAAS_EGRESS_DENY", "11.22.0.0/16")], &denied),
        (&[("GITFAAS_EGRESS_DENY", "*.example,11.22.33.0/24")], &denied),
    ];
    for (settings, expected) in cases {
        let service = Service::start_with(settings).await;
        let asks = service.function("asks", Function::python(ASKS)).await;
        let call = serde_json::json!({ "repo": asks, "args": [format!("http://{OWN}:{port}/")] });
        assert_eq!(service.run_as(&call).await.result(), expected, "{settings:?}");
        let cloned = service.run(&format!("http://{OWN}:{port}/a/b")).await;
        assert_eq!(cloned.cause.as_deref(), Some("checkout"));
        let why = cloned.message.expect("an end has a sentence");
        let deny = settings.iter().any(|(name, _)| *name == "GITFAAS_EGRESS_DENY");
        let word = if deny { "is denied by the operator" } else { "is this service's own machine" };
        assert!(why.contains(word), "{settings:?}: {why}");
    }
    answering.abort();
}

/// Tells everybody who asks what only this machine should hear.
async fn answer(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nprivate";
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("iproute2 is here");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
