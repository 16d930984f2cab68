//! Writes the first inputs of `hooks/fuzz` into a folder: the saved deliveries, each with the three
//! bytes before it that the fuzz target reads.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::Value;

/// In the order of the fuzz target.
const EVENTS: [&str; 11] = [
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
];
/// Bytes of the fuzz target: the forges, and a good signature.
const GITHUB: u8 = 0;
const GITEA: u8 = 1;
const GITLAB: u8 = 2;
const SIGNED: u8 = 7;
const PUSH_HOOK: u8 = 11;
/// A push of GitLab's, as its documentation shows it.
const GITLAB_PUSH: &str = r#"{"object_kind":"push","ref":"refs/heads/master","before":"95790bf891e76fee5e1747ab589903a6a1f80f22","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","user_username":"jsmith","project":{"id":15,"path_with_namespace":"gr/sub/diaspora","visibility_level":0,"default_branch":"master","git_http_url":"http://example.com/gr/sub/diaspora.git","web_url":"http://example.com/gr/sub/diaspora"},"commits":[{"id":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","message":"fixed [skip ci]"}]}"#;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: seeds FOLDER")?;
    let read = |name: &str| -> anyhow::Result<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    };
    let mut seeds = vec![([GITLAB, PUSH_HOOK, SIGNED], GITLAB_PUSH.to_owned())];
    for (event, payloads) in read("github-webhooks.json")?.as_object().context("they lie by event")? {
        for payload in payloads.as_array().context("of each event there is a list")? {
            seeds.push(([GITHUB, number(event), SIGNED], payload.to_string()));
        }
    }
    for delivery in read("gitea-webhooks.json")?["deliveries"].as_array().context("there is a list")? {
        let event = delivery["event"].as_str().context("an event is a text")?;
        let body = delivery["body"].as_str().context("a body is a text")?;
        seeds.push(([GITEA, number(event), SIGNED], body.to_owned()));
    }
    fs::create_dir_all(&folder)?;
    for (index, (head, body)) in seeds.iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{index:02}"));
        fs::write(path, [&head[..], body.as_bytes()].concat())?;
    }
    Ok(())
}

fn number(event: &str) -> u8 {
    let at = EVENTS.iter().position(|known| *known == event);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}
