//! A repository as the API shows it, for people.

use serde_json::Value;

use crate::fields::{line, list, text, time};

/// The longest reason in a list, in characters; `gitfaas repo show` has all of it.
const MAX_REASON: usize = 40;

/// The whole registration as lines of name and value.
pub(super) fn lines(repo: &Value) -> Vec<(&'static str, String)> {
    let plain = |name: &str| text(repo, name).map(str::to_owned);
    let all = [
        ("id", plain("id")),
        ("url", plain("url")),
        ("forge", plain("forge")),
        ("name", plain("name")),
        ("role", plain("role")),
        ("branches", list(repo, "branches")),
        ("paths", list(repo, "paths")),
        ("events", list(repo, "events")),
        ("forks", plain("forks")),
        ("label", plain("label")),
        ("links", plain("links")),
        ("viewers", viewers(repo)),
        ("posts", posts(repo)),
        ("skip_ci", plain("skip_ci")),
        ("pull_requests", plain("pull_requests")),
        ("api_url", plain("api_url")),
        ("webhook_url", plain("webhook_url")),
        ("removing since", time(repo, "removing_since")),
    ];
    let settings = all.into_iter().filter_map(|(name, value)| Some((name, line(&value?))));
    settings.chain(problems(repo).into_iter().map(|problem| ("problem", problem))).collect()
}

fn viewers(repo: &Value) -> Option<String> {
    let viewers = repo["viewers"].as_array()?.iter();
    let shown: Vec<&str> =
        viewers.filter_map(|viewer| text(viewer, "email").or_else(|| text(viewer, "id"))).collect();
    (!shown.is_empty()).then(|| shown.join(","))
}

/// `yes`, or `no: there is no token`; `None` for viewers, who are not told.
fn posts(repo: &Value) -> Option<String> {
    match (repo["posts"].as_bool()?, text(repo, "posts_reason")) {
        (true, _) => Some("yes".to_owned()),
        (false, Some(reason)) => Some(format!("no: {reason}")),
        (false, None) => Some("no".to_owned()),
    }
}

/// What becomes of statuses, short enough for a list; empty for viewers.
pub(super) fn statuses(repo: &Value) -> String {
    if text(repo, "removing_since").is_some() {
        return "removing".to_owned();
    }
    match (repo["posts"].as_bool(), text(repo, "posts_reason")) {
        (Some(true), _) => "posted".to_owned(),
        (Some(false), Some(reason)) => format!("no: {}", cut(reason)),
        (Some(false), None) => "no".to_owned(),
        (None, _) => String::new(),
    }
}

fn cut(reason: &str) -> String {
    if reason.chars().count() <= MAX_REASON {
        return reason.to_owned();
    }
    reason.chars().take(MAX_REASON - 1).chain(['…']).collect()
}

/// What is wrong, since when, and what mends it: a line each.
pub(super) fn problems(repo: &Value) -> Vec<String> {
    repo["problems"].as_array().into_iter().flatten().map(problem).collect()
}

fn problem(problem: &Value) -> String {
    let message = text(problem, "message").or_else(|| text(problem, "about")).unwrap_or("unknown");
    let since = time(problem, "since").map(|since| format!(" (since {since})")).unwrap_or_default();
    let fix = text(problem, "fix").map(|fix| format!("; {fix}")).unwrap_or_default();
    line(&format!("{message}{since}{fix}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;
    use crate::table;

    #[test]
    fn a_repository_in_lines() {
        let repo = json!({
            "id": "01a20c67", "url": "https://example.com/r.git", "forge": "gitea", "branches": ["main", "!wip/*"],
            "paths": [], "events": ["push", "tag"], "links": "key", "forks": "approve", "label": "default",
            "viewers": [{"id": "0198", "email": "b@example.com"}, {"id": "0199"}],
            "posts": false, "posts_reason": "the forge does not take the token: 401\u{1b}[2J",
            "skip_ci": "status", "pull_requests": "run", "api_url": "https://example.com/api/v1",
            "webhook_url": "https://faas.example.com/webhooks/01a20c67",
            "removing_since": "2026-01-02T03:04:05.678Z",
            "problems": [
                {"about": "token", "message": "the forge does not take the token", "since": "2026-01-02T03:04:05.6Z",
                 "fix": "give a new token"},
                {"about": "webhook", "message": "two\nlines"},
            ],
        });
        insta::assert_snapshot!(table::pairs(&lines(&repo)), @r"
        id              01a20c67
        url             https://example.com/r.git
        forge           gitea
        branches        main,!wip/*
        events          push,tag
        forks           approve
        label           default
        links           key
        viewers         b@example.com,0199
        posts           no: the forge does not take the token: 401^[[2J
        skip_ci         status
        pull_requests   run
        api_url         https://example.com/api/v1
        webhook_url     https://faas.example.com/webhooks/01a20c67
        removing since  2026-01-02T03:04:05Z
        problem         the forge does not take the token (since 2026-01-02T03:04:05Z); give a new token
        problem         two lines
        ");
    }

    #[test]
    fn a_viewer_sees_which_one_it_is() {
        let repo = json!({"id": "01a20c67", "url": "u", "forge": "github", "role": "viewer"});
        insta::assert_snapshot!(table::pairs(&lines(&repo)), @r"
        id     01a20c67
        url    u
        forge  github
        role   viewer
        ");
    }

    #[test_case(json!({"posts": true}) => "posted")]
    #[test_case(json!({"posts": false}) => "no" ; "an older gateway")]
    #[test_case(json!({"posts": false, "posts_reason": "there is no token"}) => "no: there is no token")]
    #[test_case(
        json!({"posts": false, "posts_reason": "another registration of this repository posts (user b@example.com)"})
            => "no: another registration of this repository…" ; "cut"
    )]
    #[test_case(json!({"posts": true, "removing_since": "2026-01-02T03:04:05Z"}) => "removing")]
    #[test_case(json!({"role": "viewer"}) => "" ; "a viewer's")]
    fn in_a_list(repo: Value) -> String {
        statuses(&repo)
    }

    #[test_case(40 => 40)]
    #[test_case(41 => 40 ; "too long")]
    fn characters_of_a_reason(chars: usize) -> usize {
        cut(&"ü".repeat(chars)).chars().count()
    }
}
