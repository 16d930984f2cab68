//! `gitfaas run DIR --http`: real requests, each in a container of its own. Needs Docker.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use crate::common::{gitfaas, stderr, until};

/// An end removes containers.
const PATIENCE: Duration = Duration::from_secs(120);

const ECHO: &str = r#"
import os, sys
body = sys.stdin.read()
print("not the answer", file=sys.stderr)
print(os.environ["REQUEST_METHOD"], os.environ["PATH_INFO"], os.environ["QUERY_STRING"], body, end="")
"#;
const WITH_HEADERS: &str = r#"
print("Status: 201 Created\nContent-Type: text/html\nX-Mine: 1\nSet-Cookie: a=1\n\n<b>", end="")
"#;

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    /// Also when a test fails, so that no container stays behind.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            interrupt(&self.child);
            let _ = self.child.wait();
        }
    }
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

fn serve(dir: &Path, function: &Path) -> Server {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut child = gitfaas(dir)
        .arg("run")
        .arg(function)
        .args(["--http", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = || std::fs::read_to_string(dir.join("log")).unwrap();
    let url = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}: {}", said())).to_owned();
    Server { child, url }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    Some(response.headers().get(name)?.to_str().unwrap())
}

/// Status, cause and whose fault it was.
async fn problem(response: Response) -> (u16, Value, Value) {
    assert_eq!(header(&response, "content-type"), Some("application/problem+json"));
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    (status, problem["cause"].clone(), problem["fault"].clone())
}

#[tokio::test]
async fn a_folder_answers_requests_as_the_service_would_and_is_read_anew_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let function = dir.path().join("function");
    std::fs::create_dir(&function).unwrap();
    let write = |manifest: &str, program: &str| {
        std::fs::write(function.join("faas-manifest.json"), manifest).unwrap();
        std::fs::write(function.join("m.py"), program).unwrap();
    };
    write(r#"{"language": "python", "mainFile": "m.py"}"#, ECHO);
    let mut server = serve(dir.path(), &function);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    let client = Client::new();

    let answer = client.post(format!("{}/a%20b?c=1", server.url)).body("the body").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(header(&answer, "content-security-policy"), Some("sandbox; default-src 'none'"));
    assert!(header(&answer, "gitfaas-job").is_some() && header(&answer, "server-timing").is_some());
    assert_eq!(answer.text().await.unwrap(), "POST /a b c=1 the body");

    let too_long = client.post(&server.url).body(vec![b'x'; (1 << 20) + 1]).send().await.unwrap();
    assert_eq!(problem(too_long).await, (413, Value::Null, Value::Null));

    let manifest = r#"{"language": "python", "mainFile": "m.py", "http":
        {"methods": ["GET"], "response": "cgi", "cors": {"allowOrigins": ["https://example.com"]}}}"#;
    write(manifest, WITH_HEADERS);
    let of_page = |method: Method| {
        client.request(method, format!("{}/", server.url)).header("origin", "https://example.com")
    };
    let answer = of_page(Method::GET).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(header(&answer, "x-mine"), Some("1"));
    assert_eq!(header(&answer, "set-cookie"), None);
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://example.com"));
    assert_eq!(answer.text().await.unwrap(), "<b>");
    let preflight =
        of_page(Method::OPTIONS).header("access-control-request-method", "GET").send().await.unwrap();
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&preflight, "access-control-allow-methods"), Some("GET"));
    let refused = of_page(Method::PUT).send().await.unwrap();
    assert_eq!(header(&refused, "allow"), Some("GET, HEAD"));
    assert_eq!(header(&refused, "access-control-allow-origin"), Some("https://example.com"));
    assert_eq!(problem(refused).await.0, 405);

    write(manifest, "print('no header at all')");
    let function_s = |status: u16, cause: &str| (status, Value::from(cause), Value::from("function"));
    assert_eq!(problem(of_page(Method::GET).send().await.unwrap()).await, function_s(502, "output"));
    write(manifest, "raise SystemExit(3)");
    assert_eq!(problem(of_page(Method::GET).send().await.unwrap()).await, function_s(502, "exit"));
    write(r#"{"language": "python", "mainFile": "m.py", "timeout": "1s"}"#, "import time\ntime.sleep(60)");
    assert_eq!(problem(of_page(Method::GET).send().await.unwrap()).await, function_s(504, "timeout"));
    write("{}", "");
    assert_eq!(problem(of_page(Method::GET).send().await.unwrap()).await, function_s(502, "manifest"));

    interrupt(&server.child);
    assert_eq!(until(PATIENCE, || server.child.try_wait().unwrap()).code(), Some(0));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("not the answer\n") && log.contains("\nPOST /a%20b?c=1 200 "), "{log}");
    assert!(
        log.lines().any(|line| line.starts_with("GET / 502 ") && line.ends_with("ms: exit code 3")),
        "{log}"
    );
}

#[test]
fn an_address_that_others_reach_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let output = gitfaas(dir.path()).args(["run", "."]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    let said = refused(&["--http", "--listen", "0.0.0.0:8080"]);
    assert!(said.contains("whoever reaches it may call the function"), "{said}");
    refused(&["--http", "--input", "x"]);
    refused(&["--listen", "127.0.0.1:8080"]);
}
