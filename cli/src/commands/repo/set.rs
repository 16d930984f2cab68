//! `gitfaas repo set`: changes what was given, and shows what the repository is now.

use std::process::ExitCode;

use jobs::api::{Repo, RepoRequest, ShownRepo};
use reqwest::Method;

use super::{
    settings::{given, token},
    signing, view,
    webhook::{self, Wish},
};
use crate::{answer::Answer, api::Api, args::RepoSetArgs, exit::CommandResult, out::Stdout, table};

pub(crate) async fn set(args: RepoSetArgs) -> CommandResult {
    let api = Api::from_env()?;
    let mut body = change(&args, token(&args.token)?)?;
    let secret = signing::given(&args.settings.calls)?;
    if secret.is_some() || !args.remove_signing_secrets.is_empty() {
        let request = api.request(Method::GET, &["repos", &args.id]);
        let shown: Answer<ShownRepo> = api.json(request, "repository").await?;
        let there = match &*shown {
            ShownRepo::Owned(repo) => repo.signing_secrets.clone(),
            ShownRepo::Viewed(_) => Vec::new(),
        };
        body.signing_secrets = Some(signing::changed(&there, secret, &args.remove_signing_secrets)?);
    }
    let request = api.request(Method::PATCH, &["repos", &args.id]).json(&body);
    let repo: Answer<Repo> = api.json(request, "repository").await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&repo)?;
        return Ok(ExitCode::SUCCESS);
    }
    out.line(&table::pairs(&view::owned(&repo)))?;
    let wish = if args.no_webhook { Wish::Removed } else { Wish::Made };
    if let Some(sentence) = webhook::changed(repo.webhook.as_ref(), wish) {
        eprintln!("{sentence}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be changed; what was not given stays.
fn change(args: &RepoSetArgs, token: Option<String>) -> anyhow::Result<RepoRequest> {
    let webhook = (args.webhook || args.no_webhook).then_some(args.webhook);
    Ok(RepoRequest { token, webhook, ..given(&args.settings)? })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::args::{Args, Command, RepoCommand};

    #[test_case(&["--token-stdin"], Some("t0ken") => json!({"token": "t0ken"}) ; "a token")]
    #[test_case(&["--webhook"], None => json!({"webhook": true}) ; "a webhook")]
    #[test_case(&["--no-webhook"], None => json!({"webhook": false}) ; "no webhook")]
    #[test_case(&["--access", "public", "--disabled"], None => json!({"access": "public", "enabled": false})
        ; "who may call")]
    #[test_case(&["--enabled"], None => json!({"enabled": true}) ; "on again")]
    #[test_case(&["--name", "n", "--links", "login", "--label", "big"], None
        => json!({"name": "n", "links": "login", "label": "big"}) ; "words")]
    #[test_case(&["--branch", "main", "--branch", "!wip/*", "--event", "push"], None
        => json!({"branches": ["main", "!wip/*"], "events": ["push"]}) ; "lists")]
    fn what_is_sent(given: &[&str], token: Option<&str>) -> Value {
        let line = [&["gitfaas", "repo", "set", "01a20c67"], given].concat();
        let Command::Repo(RepoCommand::Set(args)) = Args::parse_from(line).command else { panic!("a set") };
        serde_json::to_value(change(&args, token.map(str::to_owned)).unwrap()).unwrap()
    }
}
