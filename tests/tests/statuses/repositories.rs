//! What is at a URL and will not change is said at once, and is the function's fault.

use std::process::Command;

use axum::{Router, response::Redirect, routing::get};
use serde_json::json;
use tests::Service;

/// A server that answers as these do; its address.
async fn server(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn git(dir: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(dir).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
    let output = command.output().expect("git is there");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn faults_that_stay_are_named_at_once() {
    let service = Service::start().await;
    let page = || async { axum::response::Html("<!doctype html><p>Sign in</p>") };
    let list = || async { "1f1ee58e3067678d3752dd5f6f3abb936325fbb8\trefs/heads/main\n" };
    let web = server(
        Router::new()
            .route("/page.git/info/refs", get(page))
            .route("/login.git/info/refs", get(|| async { Redirect::to("/sign-in") }))
            .route("/sign-in", get(page))
            .route("/sign-in/info/refs", get(page))
            .route("/loop.git/info/refs", get(|| async { Redirect::to("/loop.git/info/refs?again") }))
            .route("/dumb.git/info/refs", get(list)),
    )
    .await;
    let bare = service.forge.repository("sha256").await;
    std::fs::remove_dir_all(&bare.bare).unwrap();
    let work = tempfile::tempdir().unwrap();
    git(work.path(), &["init", "-q", "--object-format=sha256", "-b", "main"]);
    std::fs::write(work.path().join("f"), "f").unwrap();
    git(work.path(), &["add", "-A"]);
    git(work.path(), &["commit", "-qm", "x"]);
    git(work.path(), &["clone", "-q", "--bare", ".", bare.bare.to_str().unwrap()]);
    let dangling = service.forge.repository("dangling").await;
    dangling.push(crate::hello()).await;
    git(&dangling.bare, &["symbolic-ref", "HEAD", "refs/heads/master"]);
    let empty = service.forge.repository("empty").await;

    let cases = [
        (format!("{web}/page.git"), "this address answers with a web page, not with a git repository"),
        (format!("{web}/login.git"), "this address answers with a web page, not with a git repository"),
        (format!("{web}/loop.git"), "this address redirects in circles"),
        (
            format!("{web}/dumb.git"),
            "this address serves git's files alone (the \"dumb\" protocol), which is not supported",
        ),
        (bare.url.clone(), "repositories with SHA-256 are not supported"),
        (dangling.url.clone(), "the default branch `master` is not there; name a ref"),
        (empty.url.clone(), "the repository is empty"),
    ];
    for (url, says) in cases {
        let job = service.run_as(&json!({ "repo": url })).await;
        assert_eq!(job.end(), format!("error, checkout: {says}"), "{url}");
        assert_eq!((job.fault.as_deref(), job.attempt), (Some("function"), 1), "{url}");
    }
}
