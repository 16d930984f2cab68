//! `gitfaas user`: labels and limits that an operator gives to a user. Talks to NATS directly, as `gitfaas token create`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway::OwnerLimits;
use jobs::{
    Label, Ledger, UserId,
    accounts::User,
    audit::{self, Action, AuditEvent},
    bucket::Entry,
    settings::Reader,
    stores::Stores,
};
use serde_json::json;

use crate::{
    args::{Limit, UserSetArgs, UserShowArgs},
    config,
    exit::CommandResult,
    nats::Nats,
    out::Stdout,
    terminal,
};

/// The streams of an installation with users are there; on a cluster they may still elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn set(args: UserSetArgs) -> CommandResult {
    let ledger = ledger().await?;
    let user = one(&ledger, &args.user).await?;
    if let Some(labels) = &args.labels {
        let changed = ledger.accounts.give_labels(user.value.id, &labels.0).await?;
        let changed = changed.context("the user is gone")?;
        if changed.revision != user.revision {
            let given = format!("labels: {}", listed(&changed.value.labels));
            note(&ledger, user.value.id, given).await;
        }
    }
    if !args.limits.is_empty() {
        limit(&ledger, &user.value, &args.limits).await?;
    }
    ledger.client.flush().await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(args: UserShowArgs) -> CommandResult {
    let ledger = ledger().await?;
    let User { id, kind, email, admin, labels, limits, .. } = one(&ledger, &args.user).await?.value;
    let out = Stdout::new();
    if args.json.json {
        out.json(&json!({ "id": id, "kind": kind, "email": email, "admin": admin, "labels": labels, "limits": limits }))?;
        return Ok(ExitCode::SUCCESS);
    }
    out.line(&format!("id      {id}"))?;
    out.line(&format!("email   {}", terminal::safe(&email)))?;
    out.line(&format!("admin   {}", if admin { "yes" } else { "no" }))?;
    let given = if admin { "all".to_owned() } else { listed(&labels) };
    out.line(&format!("labels  {given}"))?;
    for (resource, limit) in limits {
        out.line(&format!("limit   {resource}={limit}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ledger() -> anyhow::Result<Ledger> {
    let data_dir = config::data_dir(&config::var)?;
    let nats = Nats::read(&config::var, &data_dir)?;
    let client = jobs::connect::connect(&nats.settings("user")).await?;
    Ok(Ledger::open(&client, PATIENCE).await?)
}

/// The one user with this address or id.
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

/// Sets limits, if they fit beside those of other users.
async fn limit(ledger: &Ledger, user: &User, limits: &[Limit]) -> anyhow::Result<()> {
    let settings = owner_limits()?;
    let mut others = Vec::new();
    for key in ledger.accounts.users.keys().await? {
        let other = ledger.accounts.users.get(&key).await?;
        others.extend(other.filter(|other| other.value.id != user.id).map(|other| other.value.limits));
    }
    for Limit { of, amount } in limits {
        if let Some(amount) = amount
            && let Err(why) = settings.check_override(*of, *amount, &others)
        {
            bail!("{why}");
        }
    }
    let key = user.id.to_string();
    let changed = ledger.accounts.users.change(&key, |entry| {
        let mut given = entry.value.limits.clone();
        for Limit { of, amount } in limits {
            match amount {
                Some(amount) => given.insert(*of, *amount),
                None => given.remove(of),
            };
        }
        (given != entry.value.limits).then(|| User { limits: given, ..entry.value.clone() })
    });
    let changed = changed.await?.context("the user is gone")?;
    let given: Vec<String> = limits
        .iter()
        .map(|limit| format!("{}={}", limit.of, limit.amount.map_or("usual".to_owned(), |it| it.to_string())))
        .collect();
    note(ledger, changed.value.id, format!("limits: {}", given.join(" "))).await;
    Ok(())
}

/// The installation's limits, as this command's environment says: the gateways' own.
fn owner_limits() -> anyhow::Result<OwnerLimits> {
    let mut env = Reader::new(&config::var);
    let stores = Stores::read(&mut env);
    let limits = OwnerLimits::read(&mut env, &stores);
    Ok(env.finish(|| Some(limits))?)
}

/// Writes the audit event; the command succeeds even if that fails.
async fn note(ledger: &Ledger, user: UserId, given: String) {
    let event = AuditEvent { detail: Some(given), ..AuditEvent::of_operator(Action::UserChanged, user) };
    if let Err(error) = audit::write(&ledger.js, audit::Log::Admins, &event).await {
        let error = anyhow::Error::from(error);
        tracing::warn!(error = format!("{error:#}"), "audit event not stored");
    }
}
