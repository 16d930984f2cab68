//! `gitfaas repo add`: registers a repository, and says what is left to be done or is wrong already.

use std::process::ExitCode;

use jobs::api::{ErrorCode, OtherRegistration, Repo, RepoRequest};
use reqwest::Method;

use super::{
    settings::{given, token, word},
    signing, view, webhook,
};
use crate::{
    answer::Answer,
    api::{Api, ApiError},
    args::RepoAddArgs,
    exit::CommandResult,
    fields::{line, text},
    out::Stdout,
    table, terminal,
};

/// Nothing was registered, because the forge does not take the token.
#[derive(Debug, thiserror::Error)]
#[error("nothing was registered: {why}; `--force` registers all the same")]
struct TokenRefused {
    why: String,
}

pub(crate) async fn add(args: RepoAddArgs) -> CommandResult {
    let api = Api::from_env()?;
    let token = token(&args.token)?;
    let has_token = token.is_some();
    let secret = signing::given(&args.settings.calls)?;
    let signing_secrets = secret.map(|secret| vec![secret]);
    let body = RepoRequest { signing_secrets, ..registration(&args, token)? };
    let request = api.request(Method::POST, &["repos"]).json(&body);
    let repo: Answer<Repo> = api.json(request, "repository").await.map_err(not_registered)?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&repo)?;
        return Ok(ExitCode::SUCCESS);
    }
    let secret = repo.secret.as_deref().unwrap_or_default();
    let shown = [
        ("id", repo.id.to_string()),
        ("webhook URL", terminal::safe(&repo.webhook_url).into_owned()),
        ("secret", terminal::safe(secret).into_owned()),
    ];
    out.line(&table::pairs(&shown))?;
    eprintln!("{}", webhook::registered(repo.webhook.as_ref()));
    if let Some(sentence) = not_posted(&repo).filter(|_| has_token || repo.posts_reason.is_some()) {
        eprintln!("{sentence}");
    }
    for sentence in view::problems(&repo).into_iter().chain(others(&repo)) {
        eprintln!("{sentence}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said of the repository; what was not given is left to the gateway.
fn registration(args: &RepoAddArgs, token: Option<String>) -> anyhow::Result<RepoRequest> {
    Ok(RepoRequest {
        url: Some(args.url.clone()),
        forge: word("forge", args.forge.as_deref())?,
        token_must_work: token.is_some() && !args.force,
        token,
        webhook: args.no_webhook.then_some(false),
        ..given(&args.settings)?
    })
}

/// The error of a registration, with the way out where there is one.
fn not_registered(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ApiError>() {
        Some(ApiError::Refused { code: Some(code), message, .. }) if *code == ErrorCode::TokenRefused => {
            TokenRefused { why: message.clone() }.into()
        }
        Some(_) | None => error,
    }
}

/// That this registration posts no statuses, and why.
fn not_posted(repo: &Repo) -> Option<String> {
    (!repo.posts).then(|| match text(repo.posts_reason.as_deref()) {
        Some(reason) => format!("statuses are not posted: {}", line(reason)),
        None => "statuses are not posted".to_owned(),
    })
}

/// Other registrations of the same URL, as far as the caller may know of them.
fn others(repo: &Repo) -> Vec<String> {
    repo.also_registered.iter().map(other).collect()
}

fn other(other: &OtherRegistration) -> String {
    let which = match (other.id, text(other.owner.as_deref())) {
        (Some(id), Some(owner)) => format!(": {id} of {owner}"),
        (Some(id), None) => format!(": {id}"),
        (None, Some(owner)) => format!(", by {owner}"),
        (None, None) => ", by somebody else".to_owned(),
    };
    let posts = if other.posts { "it posts the statuses" } else { "it posts no statuses" };
    line(&format!("this URL is registered already{which}; {posts}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jobs::api::OpenEnum;
    use reqwest::StatusCode;
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::{
        args::{Args, Command, RepoCommand},
        samples,
    };

    #[test_case(&[], None => json!({"url": "u"}) ; "no more than its URL")]
    #[test_case(&[], Some("t0ken") => json!({"url": "u", "token": "t0ken", "token_must_work": true}) ; "a token")]
    #[test_case(&["--force"], Some("t0ken") => json!({"url": "u", "token": "t0ken"}) ; "whatever the forge says")]
    #[test_case(&["--force"], None => json!({"url": "u"}) ; "nothing to force")]
    #[test_case(&["--skip-ci", "silent", "--pull-requests", "reuse", "--api-url", "https://u/api"], None
        => json!({"url": "u", "skip_ci": "silent", "pull_requests": "reuse", "api_url": "https://u/api"})
        ; "settings")]
    #[test_case(&["--forge", "gitea", "--branch", "main", "--event", "tag", "--no-webhook"], None
        => json!({"url": "u", "forge": "gitea", "branches": ["main"], "events": ["tag"], "webhook": false})
        ; "lists")]
    fn what_is_sent(given: &[&str], token: Option<&str>) -> Value {
        let line = [&["gitfaas", "repo", "add", "u"], given].concat();
        let Command::Repo(RepoCommand::Add(args)) = Args::parse_from(line).command else { panic!("an add") };
        serde_json::to_value(registration(&args, token.map(str::to_owned)).unwrap()).unwrap()
    }

    #[test_case(Some("token_refused") => "nothing was registered: the forge does not take the token: 401; `--force` registers all the same")]
    #[test_case(Some("bad_request") => "the forge does not take the token: 401 (422 Unprocessable Entity)")]
    #[test_case(None => "the forge does not take the token: 401 (422 Unprocessable Entity)" ; "no code")]
    fn what_a_refusal_says(code: Option<&str>) -> String {
        let refused = ApiError::Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: code.map(OpenEnum::from_word),
            message: "the forge does not take the token: 401".to_owned(),
        };
        not_registered(refused.into()).to_string()
    }

    #[test_case(json!({"posts": true}) => None)]
    #[test_case(json!({"posts": false}) => Some("statuses are not posted".to_owned()) ; "an older gateway")]
    #[test_case(json!({"posts": false, "posts_reason": "there is no token"})
        => Some("statuses are not posted: there is no token".to_owned()))]
    fn whether_statuses_are_posted(repo: Value) -> Option<String> {
        not_posted(&samples::repo(repo))
    }

    #[test]
    fn other_registrations_are_named_as_far_as_they_may_be_known() {
        let repo = samples::repo(json!({"also_registered": [
            {"id": "01a20c67-cee4-71df-9c2a-6c034687e69b", "owner": "b@example.com", "posts": true},
            {"id": "01a20c68-cee4-71df-9c2a-6c034687e69b", "posts": false},
            {"posts": true},
        ]}));
        insta::assert_snapshot!(others(&repo).join("\n"), @r"
        this URL is registered already: 01a20c67-cee4-71df-9c2a-6c034687e69b of b@example.com; it posts the statuses
        this URL is registered already: 01a20c68-cee4-71df-9c2a-6c034687e69b; it posts no statuses
        this URL is registered already, by somebody else; it posts the statuses
        ");
    }
}
