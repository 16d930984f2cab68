//! Branches and tags of a real git server, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use hooks::CloneUrl;
use hooks::address::Allow;
use hooks::ls_remote::{ListRefsError, Login, RefLister};
use http::{HeaderMap, StatusCode, header};
use tempfile::TempDir;
use test_case::test_case;
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// `git` in a repository, deaf to this machine's settings; its output in one line.
fn git(at: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(at)
        .args(args)
        .stdin(Stdio::null())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Which version of the protocol the server speaks.
#[derive(Debug, Clone, Copy)]
enum Speaks {
    Version0,
    Version2,
}

/// A folder with the repository `a/pi.git`, served by `git http-backend`.
struct Server {
    root: TempDir,
    url: CloneUrl,
}

impl Server {
    async fn start(speaks: Speaks) -> Self {
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("a/pi.git");
        std::fs::create_dir_all(&repository).unwrap();
        git(&repository, &["init", "--quiet", "--bare", "--initial-branch=main", "."]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a/pi.git", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new((root.path().to_owned(), speaks));
        let app = Router::new().fallback(backend).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { root, url }
    }

    fn repository(&self) -> PathBuf {
        self.root.path().join("a/pi.git")
    }

    async fn refs(&self) -> Vec<(String, String)> {
        let found = heads().list(&self.url, None).await.unwrap();
        found.refs.into_iter().map(|found| (found.reference.to_string(), found.id.to_string())).collect()
    }
}

/// One request through CGI (RFC 3875).
async fn backend(State(state): State<Arc<(PathBuf, Speaks)>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &state.0)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", parts.uri.path())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    match state.1 {
        Speaks::Version0 => {}
        Speaks::Version2 => {
            command.env("GIT_PROTOCOL", text("git-protocol"));
        }
    }
    let output = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        child.wait_with_output().unwrap().stdout
    });
    let output = output.await.unwrap();
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    for line in str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            status = value[..3].parse().unwrap();
        } else {
            headers.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
        }
    }
    (status, headers, output[end + 4..].to_vec()).into_response()
}

fn heads() -> RefLister {
    RefLister::new(&"127.0.0.1".parse::<Allow>().unwrap(), None).unwrap()
}

fn login() -> Login {
    Login { user: "git".to_owned(), token: "t0ken".parse().unwrap() }
}

#[test_case(Speaks::Version0 ; "in version 0")]
#[test_case(Speaks::Version2 ; "in version 2")]
#[tokio::test]
async fn branches_and_tags_of_a_real_server_are_read(speaks: Speaks) {
    let server = Server::start(speaks).await;
    assert_eq!(server.refs().await, []);
    let at = server.repository();
    let tree = git(&at, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let commit = git(&at, &["commit-tree", &tree, "-m", "first"]);
    for name in ["refs/heads/main", "refs/heads/näme", "refs/pull/1/head", "refs/tags/light"] {
        git(&at, &["update-ref", name, &commit]);
    }
    git(&at, &["tag", "-a", "-m", "annotated", "v1", &commit]);
    let tag = git(&at, &["rev-parse", "refs/tags/v1"]);
    assert_ne!(tag, commit);
    let expected = [
        ("refs/heads/main", &commit),
        ("refs/heads/näme", &commit),
        ("refs/tags/light", &commit),
        ("refs/tags/v1", &tag),
    ];
    let expected = expected.map(|(name, id)| (name.to_owned(), id.clone()));
    assert_eq!(server.refs().await, expected);
    let found = heads().list(&server.url, None).await.unwrap();
    assert_eq!(found.default_branch.unwrap().as_str(), "refs/heads/main");
    let tagged: Vec<_> = found.refs.into_iter().filter_map(|found| found.tagged).collect();
    assert_eq!(tagged, [commit.parse().unwrap()]);
}

#[tokio::test]
async fn what_is_no_git_server_private_or_gone_says_so() {
    let server = MockServer::start().await;
    Mock::given(path("/a/page/info/refs")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/a/private/info/refs")).respond_with(ResponseTemplate::new(401)).mount(&server).await;
    let list = async |name: &str| {
        let url = format!("{}/a/{name}", server.uri()).parse().unwrap();
        heads().list(&url, None).await.unwrap_err().to_string()
    };
    assert_eq!(list("page").await, "this is not a git server with smart HTTP");
    assert_eq!(list("private").await, "the git server answered 401 Unauthorized");
    assert_eq!(list("gone").await, "the git server answered 404 Not Found");
    let inside = RefLister::new(&Allow::none(), None).unwrap();
    let url = format!("{}/a/page", server.uri()).parse().unwrap();
    assert!(matches!(inside.list(&url, None).await, Err(ListRefsError::Unreachable(_))));
}

#[tokio::test]
async fn a_credential_goes_to_the_urls_own_host_and_nowhere_else() {
    let (own, other) = (MockServer::start().await, MockServer::start().await);
    let kind = "application/x-git-upload-pack-advertisement";
    let version2 = ResponseTemplate::new(200).set_body_raw("000eversion 2\n0000", kind);
    Mock::given(path("/a/pi/info/refs"))
        .and(header_exists("authorization"))
        .respond_with(
            ResponseTemplate::new(302).insert_header("location", format!("{}/b/pi/info/refs", other.uri())),
        )
        .expect(1)
        .mount(&own)
        .await;
    Mock::given(path("/b/pi/info/refs")).respond_with(version2).expect(1).mount(&other).await;
    Mock::given(method("POST"))
        .and(path("/b/pi/git-upload-pack"))
        .respond_with(ResponseTemplate::new(200).set_body_raw("0000", "application/x-git-upload-pack-result"))
        .expect(1)
        .mount(&other)
        .await;
    let url = format!("{}/a/pi", own.uri()).parse().unwrap();
    assert_eq!(heads().list(&url, Some(&login())).await.unwrap().refs, []);
    for request in other.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"), "{}", request.url);
    }
}
