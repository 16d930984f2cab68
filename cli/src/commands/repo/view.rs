//! A repository as the API shows it, for people.

use jobs::api::{Problem, Repo, ShownRepo, SigningSecret, ViewedRepo, ViewerRole};

use crate::fields::{line, list, text, time, words};

/// The longest reason in a list, in characters; `gitfaas repo show` has all of it.
const MAX_REASON: usize = 40;

/// All that is shown of it, as lines of name and value.
pub(super) fn lines(repo: &ShownRepo) -> Vec<(&'static str, String)> {
    match repo {
        ShownRepo::Owned(repo) => owned(repo),
        ShownRepo::Viewed(repo) => viewed(repo),
    }
}

/// The whole registration as lines of name and value.
pub(super) fn owned(repo: &Repo) -> Vec<(&'static str, String)> {
    let given = |value: &Option<String>| text(value.as_deref()).map(str::to_owned);
    let all = [
        ("id", Some(repo.id.to_string())),
        ("url", Some(repo.url.clone())),
        ("forge", Some(repo.forge.word())),
        ("name", given(&repo.name)),
        ("function", given(&repo.function)),
        ("branches", list(&repo.branches)),
        ("paths", list(&repo.paths)),
        ("events", words(&repo.events)),
        ("forks", Some(repo.forks.word())),
        ("label", Some(repo.label.to_string())),
        ("links", Some(repo.links.word())),
        ("viewers", viewers(repo)),
        ("posts", Some(posts(repo))),
        ("skip_ci", Some(repo.skip_ci.word())),
        ("pull_requests", Some(repo.pull_requests.word())),
        ("api_url", given(&repo.api_url)),
        ("access", Some(repo.access.word())),
        ("enabled", Some(if repo.enabled { "yes".to_owned() } else { "no".to_owned() })),
        ("signing secrets", list(&repo.signing_secrets.iter().map(signing_secret).collect::<Vec<_>>())),
        ("webhook_url", Some(repo.webhook_url.clone())),
        ("removing since", repo.removing_since.map(time)),
    ];
    let settings = all.into_iter().filter_map(|(name, value)| Some((name, line(&value?))));
    settings.chain(problems(repo).into_iter().map(|problem| ("problem", problem))).collect()
}

/// Its id, and since when it is taken.
fn signing_secret(secret: &SigningSecret) -> String {
    format!("{} (since {})", secret.id, time(secret.added_at))
}

/// The same for a viewer.
fn viewed(repo: &ViewedRepo) -> Vec<(&'static str, String)> {
    let all = [
        ("id", Some(repo.id.to_string())),
        ("url", Some(repo.url.clone())),
        ("forge", Some(repo.forge.word())),
        ("name", text(repo.name.as_deref()).map(str::to_owned)),
        ("function", text(repo.function.as_deref()).map(str::to_owned)),
        (
            "role",
            Some(match repo.role {
                ViewerRole::Viewer => "viewer".to_owned(),
            }),
        ),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, line(&value?)))).collect()
}

fn viewers(repo: &Repo) -> Option<String> {
    let shown = repo.viewers.iter().filter_map(|viewer| {
        let email = text(viewer.email.as_deref()).map(str::to_owned);
        email.or_else(|| Some(viewer.id?.to_string()))
    });
    list(&shown.collect::<Vec<_>>())
}

/// `yes`, or `no: there is no token`.
fn posts(repo: &Repo) -> String {
    match (repo.posts, text(repo.posts_reason.as_deref())) {
        (true, _) => "yes".to_owned(),
        (false, Some(reason)) => format!("no: {reason}"),
        (false, None) => "no".to_owned(),
    }
}

/// What becomes of statuses, short enough for a list.
pub(super) fn statuses(repo: &Repo) -> String {
    if repo.removing_since.is_some() {
        return "removing".to_owned();
    }
    match (repo.posts, text(repo.posts_reason.as_deref())) {
        (true, _) => "posted".to_owned(),
        (false, Some(reason)) => format!("no: {}", cut(reason)),
        (false, None) => "no".to_owned(),
    }
}

fn cut(reason: &str) -> String {
    if reason.chars().count() <= MAX_REASON {
        return reason.to_owned();
    }
    reason.chars().take(MAX_REASON - 1).chain(['…']).collect()
}

/// What is wrong, since when, and what mends it: a line each.
pub(super) fn problems(repo: &Repo) -> Vec<String> {
    repo.problems.iter().map(problem).collect()
}

fn problem(problem: &Problem) -> String {
    line(&format!("{} (since {}); {}", problem.message, time(problem.since), problem.fix))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::{samples, table};

    #[test]
    fn a_repository_in_lines() {
        let repo = samples::repo(json!({
            "id": "01a20c67-cee4-71df-9c2a-6c034687e69b", "url": "https://example.com/r.git", "forge": "gitea", "function": "r", "branches": ["main", "!wip/*"],
            "paths": [], "events": ["push", "tag"], "links": "key", "forks": "approve", "label": "default",
            "viewers": [{"id": samples::ID, "email": "b@example.com"}, {"id": samples::ID}],
            "posts": false, "posts_reason": "the forge does not take the token: 401\u{1b}[2J",
            "skip_ci": "status", "pull_requests": "run", "api_url": "https://example.com/api/v1",
            "access": "signed", "enabled": false,
            "signing_secrets": [{"id": "ab12cd34", "added_at": "2026-01-02T03:04:05.6Z"}],
            "webhook_url": "https://faas.example.com/webhooks/01a20c67",
            "removing_since": "2026-01-02T03:04:05.678Z",
            "problems": [
                {"about": "token", "message": "the forge does not take the token", "since": "2026-01-02T03:04:05.6Z",
                 "fix": "give a new token"},
                {"about": "webhook", "message": "two\nlines", "since": "2026-01-02T03:04:05Z", "fix": "mend it"},
            ],
        }));
        insta::assert_snapshot!(table::pairs(&lines(&repo)), @r"
        id               01a20c67-cee4-71df-9c2a-6c034687e69b
        url              https://example.com/r.git
        forge            gitea
        function         r
        branches         main,!wip/*
        events           push,tag
        forks            approve
        label            default
        links            key
        viewers          b@example.com,0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
        posts            no: the forge does not take the token: 401^[[2J
        skip_ci          status
        pull_requests    run
        api_url          https://example.com/api/v1
        access           signed
        enabled          no
        signing secrets  ab12cd34 (since 2026-01-02T03:04:05Z)
        webhook_url      https://faas.example.com/webhooks/01a20c67
        removing since   2026-01-02T03:04:05Z
        problem          the forge does not take the token (since 2026-01-02T03:04:05Z); give a new token
        problem          two lines (since 2026-01-02T03:04:05Z); mend it
        ");
    }

    #[test]
    fn a_viewer_sees_which_one_it_is() {
        let repo = json!({"id": samples::ID, "url": "u", "forge": "github", "role": "viewer"});
        let repo: ShownRepo = serde_json::from_value(repo).unwrap();
        insta::assert_snapshot!(table::pairs(&lines(&repo)), @r"
        id     0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
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
    fn in_a_list(repo: Value) -> String {
        statuses(&samples::repo(repo))
    }

    #[test_case(40 => 40)]
    #[test_case(41 => 40 ; "too long")]
    fn characters_of_a_reason(chars: usize) -> usize {
        cut(&"ü".repeat(chars)).chars().count()
    }
}
