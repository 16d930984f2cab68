//! A private repository, over TLS: its function runs, and its credential is nowhere.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use tests::{
    FakeForge, Function, Service,
    fake_forge::{OWNER, TOKEN},
    git_server::Fault,
    service::register,
    tls::Front,
};

/// What a job could find of a credential: its variables, and every file that it may read of its own.
const LOOK: &str = r#"
import os
print(dict(os.environ))
for folder in ("/work", "/home", "/tmp", "/etc/gitfaas", "/proc/self", "/proc/1"):
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if at.startswith(("/work", "/home", "/tmp", "/etc"))]
        for name in files:
            try:
                with open(os.path.join(at, name), "rb") as file:
                    print(name, file.read(100_000))
            except OSError:
                pass
"#;

/// Files below a folder that hold the text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holding(&entry.path(), text, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
}

#[tokio::test]
async fn a_private_repository_is_cloned_over_tls_and_its_token_is_in_no_file_and_no_job() {
    let forge = FakeForge::start().await;
    let front = Front::before(forge.url().trim_start_matches("http://")).await;
    let wishes = [("GITFAAS_GITHUB_API_URL", &*front.url), ("GITFAAS_CA_BUNDLE", front.ca.to_str().unwrap())];
    let service = Service::start_on(forge, &wishes).await;
    let mut repository = service.forge.repository("secretive").await;
    service.forge.breaks(&repository, Fault::Private("x-access-token".to_owned(), TOKEN.to_owned()));
    repository.url = format!("{}/{OWNER}/secretive.git", front.url);
    let registration = register(&service, &repository.url).await;
    let repository = repository.hooked(registration).await;

    let commit = repository.push(Function::python(LOOK)).await;
    let status = service.forge.final_status(&commit).await;
    assert_eq!(status.state, "success", "{status:?}");
    let job = service.job(&commit.job()).await;
    let told = service.result(&job.id).await;
    let told = String::from_utf8_lossy(&told).into_owned() + &service.log(&job.id).await;
    assert!(told.contains("main.py"), "it looked around: {told}");

    let basic = BASE64_STANDARD.encode(format!("x-access-token:{TOKEN}"));
    for secret in [TOKEN, &basic] {
        assert!(!told.contains(secret), "{told}");
        assert!(!service.up().output().contains(secret));
        let mut found = Vec::new();
        holding(&service.data_dir().join("worker"), secret, &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
    assert!(!told.contains(front.url.trim_start_matches("https://")), "not even where it is from: {told}");

    // A stranger's call of the same address has no credential, and no part in what was fetched with one:
    // not by the branch, and not by the commit, which lies in the worker's mirror.
    let stranger = service.user("stranger@example.com");
    let says = "the repository is private, and there is no credential that may read it";
    for call in [json!({ "repo": repository.url }), json!({ "repo": repository.url, "ref": commit.sha })] {
        let asked = service.forge.seen().len();
        let job = stranger.run_as(&call).await;
        assert_eq!(job.end(), format!("error, checkout: {says}"));
        assert!(service.forge.seen().len() > asked, "the git server is asked: {call}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_a_sentence() {
    let forge = FakeForge::start().await;
    let front = Front::before(forge.url().trim_start_matches("http://")).await;
    let service = Service::start_on(forge, &[]).await;
    service.function("open", Function::python("print('ok')")).await;
    let job = service.submit(&format!("{}/{OWNER}/open.git", front.url)).await;
    let log = service.says(&job.id, "certificate").await;
    assert!(log.contains("certificate"), "{log}");
    service.cancel(&job.id).await;
}
