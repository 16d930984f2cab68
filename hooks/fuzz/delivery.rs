//! Whatever comes in, signature and parser neither panic nor believe what was not signed.
//!
//! An input is a header of three bytes and a body: which forge, which event, how it is signed. Most
//! inputs are signed properly, because else only the signature would ever be looked at. Seeds are the
//! saved deliveries of real forges (`tests/src/bin/seeds.rs`).
#![no_main]

use hooks::{
    Forge, Incoming,
    incoming::{self, parse},
    verify::{sign, verify_headers},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use jobs::Secret;
use libfuzzer_sys::fuzz_target;

const FORGES: [Forge; 4] = [Forge::Github, Forge::Gitea, Forge::Gitlab, Forge::Plain];
/// In the order in which the seeds count them.
const EVENTS: [&str; 14] = [
    "push",
    "delete",
    "create",
    "ping",
    "pull_request",
    "check_run",
    "check_suite",
    "installation",
    "installation_repositories",
    "repository",
    "github_app_authorization",
    "Push Hook",
    "Tag Push Hook",
    "issues",
];
const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const SHA1: HeaderName = HeaderName::from_static("x-hub-signature");
const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");
/// A signature given by the input itself has this many bytes of it.
const GIVEN_BYTES: usize = 71;

fuzz_target!(|input: &[u8]| {
    let [forge, event, how, body @ ..] = input else { return };
    let forge = FORGES[usize::from(*forge) % FORGES.len()];
    let event = EVENTS[usize::from(*event) % EVENTS.len()];
    let secret: Secret = "It's a Secret to Everybody".parse().expect("not empty");

    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", HeaderValue::from_static(event));
    headers.insert("x-gitlab-event", HeaderValue::from_static(event));
    let good = HeaderValue::from_str(&sign(&secret, body)).expect("hex digits");
    let mut is_signed = false;
    let mut body = body;
    match how % 8 {
        // The signature is the input's own: raw bytes where a header can hold them.
        0 => {
            let (given, rest) = body.split_at(body.len().min(GIVEN_BYTES));
            body = rest;
            for part in given.split(|byte| *byte == 0).take(3) {
                if let Ok(value) = HeaderValue::from_bytes(part) {
                    headers.append(SIGNATURE, value.clone());
                    headers.append(TOKEN, value);
                }
            }
        }
        1 => {
            headers.append(SIGNATURE, good.clone());
            headers.append(SIGNATURE, good);
            headers.append(TOKEN, HeaderValue::from_static("another"));
        }
        2 => {
            let other: Secret = "another".parse().expect("not empty");
            headers.append(SIGNATURE, HeaderValue::from_str(&sign(&other, body)).expect("hex digits"));
        }
        3 => {
            headers.append(SHA1, HeaderValue::from_static("sha1=3dfc15d0ea994eb196950a8f70728f16558de2c7"));
        }
        _ => {
            headers.append(SIGNATURE, good);
            headers.append(TOKEN, HeaderValue::from_str(secret.expose()).expect("plain text"));
            is_signed = true;
        }
    }

    let verified = match verify_headers(forge, &secret, &headers, body) {
        Ok(verified) => verified,
        Err(why) => {
            assert!(!is_signed, "a good signature was not believed: {why}");
            assert!(!why.to_string().is_empty());
            return;
        }
    };
    assert!(is_signed, "what nobody signed was believed");
    assert_eq!(verified.raw(), body);
    let _ = incoming::delivery_id(forge, &headers);
    let _ = incoming::event(forge, &headers);
    match parse(forge, event, &verified) {
        Ok(incoming) => holds(&incoming),
        // The sentence goes into the ledger and to the forge.
        Err(why) => assert!(!why.to_string().is_empty()),
    }
});

/// What the rest of the program relies on.
fn holds(incoming: &Incoming) {
    let kept = serde_json::to_vec(incoming).expect("an event is JSON");
    let read: Incoming = serde_json::from_slice(&kept).expect("the ledger reads what it wrote");
    assert_eq!(read, *incoming);
    let repository = match incoming {
        Incoming::Push(push) => {
            let reference = push.reference.as_str();
            assert!(reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/"));
            assert!(!reference.chars().any(char::is_control) && !reference.contains(".."));
            assert!(!push.synthetic);
            assert!(push.after.is_none() || push.after != push.before);
            push.head_message.iter().for_each(|message| assert!(message.len() <= 64 * 1024));
            &push.repository
        }
        Incoming::PullRequest(pull) => {
            assert!(!pull.head_branch.starts_with('-') && !pull.base_branch.starts_with('-'));
            &pull.repository
        }
        Incoming::Rerequested(asked) => &asked.repository,
        Incoming::Ignored(why) => {
            assert!(why.len() < 1000 && !why.chars().any(char::is_control), "{why:?}");
            return;
        }
        Incoming::Ping | Incoming::Installation(_) | Incoming::InstallationRepositories(_) => return,
    };
    let url = repository.clone_url.as_url();
    assert!(
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    );
    assert!(!repository.full_name.chars().any(char::is_control));
}
