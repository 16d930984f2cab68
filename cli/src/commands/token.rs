//! `gitfaas token create`: makes a token as the operator. Talks to NATS directly, because before the first
//! token no gateway can authenticate a caller.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use jobs::{
    Ledger, RepoId, TokenId,
    accounts::{ALL_SCOPES, NewToken, OPERATOR, OwnerKind, Scope, User},
    audit::{self, Action, AuditEvent},
    settings::Reader,
    streams,
};

use crate::{
    args::{TokenArgs, TokenRights},
    config,
    exit::CommandResult,
    fields::read,
    nats::Nats,
    out::Stdout,
};

/// Streams that were just made are there at once; on a cluster they may still elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn create(args: TokenArgs) -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let mut env = Reader::new(&config::var);
    let settings = streams::Settings::read(&mut env);
    let settings = env.finish(|| Some(settings))?;
    let nats = Nats::read(&config::var, &data_dir)?;
    let client = jobs::connect::connect(&nats.settings("token")).await?;

    let js = jobs::connect::jetstream(&client);
    if js.get_stream(streams::last()).await.is_err() {
        streams::ensure(&js, &settings).await.context("cannot make the streams")?;
    }
    let ledger = Ledger::open(&client, PATIENCE).await?;
    let email = args.user.to_lowercase();
    let user = ledger.accounts.find_or_make(OPERATOR, &email, &args.user, OwnerKind::User).await?;
    if args.admin {
        ledger.accounts.make_admin(user.value.id).await?;
        note(&js, Action::AdminMade, user.value.id).await;
    }
    // Gateways check it by their own clocks, which agree on the minute.
    let expires_at =
        args.expires.map(SignedDuration::try_from).transpose()?.map(|after| Timestamp::now() + after);
    let functions = functions(&ledger, &user.value, &args.may).await?;
    let new = NewToken {
        id: TokenId::new(),
        user: user.value.id,
        name: &args.name,
        scopes: &scopes(&args.may)?,
        functions: functions.as_deref(),
        expires_at,
        made_by: &[],
    };
    new.check_binding().context("--function")?;
    let (record, token) = ledger.accounts.mint(&new).await?;
    note(&js, Action::TokenMade, record.id).await;
    client.flush().await?;
    Stdout::new().line(token.expose())?;
    Ok(ExitCode::SUCCESS)
}

/// What it may be used for: everything unless that was narrowed.
fn scopes(rights: &TokenRights) -> anyhow::Result<Vec<Scope>> {
    match (rights.scopes.as_slice(), rights.functions.is_empty()) {
        ([], true) => Ok(ALL_SCOPES.to_vec()),
        ([], false) => Ok(vec![Scope::Invoke]),
        (named, _) => Ok(named.iter().map(|scope| read(scope)).collect::<Result<_, _>>()?),
    }
}

/// The repositories that were named, each of which the user owns or views.
async fn functions(
    ledger: &Ledger,
    user: &User,
    rights: &TokenRights,
) -> anyhow::Result<Option<Vec<RepoId>>> {
    let mut functions = Vec::new();
    for named in &rights.functions {
        let id: RepoId = named.parse().with_context(|| format!("--function {named}"))?;
        match ledger.repos.get(&id.to_string()).await? {
            Some(repo) if repo.value.owner == user.id || repo.value.is_viewed_by(user) => functions.push(id),
            Some(_) | None => bail!("--function {id}: the user neither owns nor views such a repository"),
        }
    }
    Ok((!functions.is_empty()).then_some(functions))
}

/// Writes the audit event; the command succeeds even if that fails.
async fn note(js: &async_nats::jetstream::Context, action: Action, target: impl ToString) {
    if let Err(error) = audit::write(js, audit::Log::Admins, &AuditEvent::of_operator(action, target)).await {
        let error = anyhow::Error::from(error);
        tracing::warn!(error = format!("{error:#}"), "audit event not stored");
    }
}
