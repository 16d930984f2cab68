//! `gitfaas user`: what an operator gives to a user. Talks to NATS directly, as `gitfaas token create`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jobs::{
    Label, Ledger,
    accounts::User,
    audit::{self, Action, Deed},
    bucket::Entry,
};
use serde_json::json;

use crate::{
    args::{UserSetArgs, UserShowArgs},
    config,
    exit::Done,
    nats::Nats,
    out::Out,
    terminal,
};

/// The streams of an installation with users are there; on a cluster they may still elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn set(args: UserSetArgs) -> Done {
    let ledger = ledger().await?;
    let user = one(&ledger, &args.user).await?;
    if let Some(labels) = &args.labels {
        let changed = ledger.accounts.give_labels(user.value.id, &labels.0).await?;
        let changed = changed.context("the user is gone")?;
        if changed.revision != user.revision {
            note(&ledger, &changed.value).await;
        }
    }
    ledger.client.flush().await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(args: UserShowArgs) -> Done {
    let ledger = ledger().await?;
    let User { id, kind, email, admin, labels, .. } = one(&ledger, &args.user).await?.value;
    let out = Out::new();
    if args.json.json {
        out.json(&json!({ "id": id, "kind": kind, "email": email, "admin": admin, "labels": labels }))?;
        return Ok(ExitCode::SUCCESS);
    }
    out.line(&format!("id      {id}"))?;
    out.line(&format!("email   {}", terminal::safe(&email)))?;
    out.line(&format!("admin   {}", if admin { "yes" } else { "no" }))?;
    let given = if admin { "all".to_owned() } else { listed(&labels) };
    out.line(&format!("labels  {given}"))?;
    Ok(ExitCode::SUCCESS)
}

async fn ledger() -> anyhow::Result<Ledger> {
    let data_dir = config::data_dir(&config::var)?;
    let nats = Nats::read(&config::var, &data_dir)?;
    let client = jobs::connect::connect(&nats.settings("user")).await?;
    Ok(Ledger::open(&client, PATIENCE).await?)
}

/// The one user whom a word names.
async fn one(ledger: &Ledger, word: &str) -> anyhow::Result<Entry<User>> {
    let mut found = ledger.accounts.named(word).await?;
    match (found.pop(), found.as_slice()) {
        (Some(user), []) => Ok(user),
        (None, _) => {
            bail!("there is no user {word}; a user is made by signing in or with `gitfaas token create`")
        }
        (Some(last), others) => {
            let ids: Vec<String> = others.iter().chain([&last]).map(|user| user.key.clone()).collect();
            bail!("several users have the address {word}; name one by its id: {}", ids.join(", "))
        }
    }
}

/// `default`, and what was given.
fn listed(labels: &[Label]) -> String {
    let all: Vec<String> = std::iter::once(&Label::default()).chain(labels).map(Label::to_string).collect();
    all.join(",")
}

/// It is done, whether or not it could be noted.
async fn note(ledger: &Ledger, user: &User) {
    let deed = Deed {
        detail: Some(format!("labels: {}", listed(&user.labels))),
        ..Deed::of_operator(Action::UserChanged, user.id)
    };
    if let Err(error) = audit::write(&ledger.js, &deed).await {
        let error = anyhow::Error::from(error);
        tracing::warn!(error = format!("{error:#}"), "this is not in the audit log");
    }
}
