//! `gitfaas token create`: makes a token as the operator. Talks to NATS directly, because before the first
//! token no gateway can authenticate a caller.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    Ledger,
    accounts::{ALL_SCOPES, OPERATOR, OwnerKind},
    audit::{self, Action, AuditEvent},
    settings::Reader,
    streams,
};

use crate::{args::TokenArgs, config, exit::CommandResult, nats::Nats, out::Stdout};

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
    let (record, token) =
        ledger.accounts.make_token(user.value.id, &args.name, &ALL_SCOPES, expires_at).await?;
    note(&js, Action::TokenMade, record.id).await;
    client.flush().await?;
    Stdout::new().line(token.expose())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the audit event; the command succeeds even if that fails.
async fn note(js: &async_nats::jetstream::Context, action: Action, target: impl ToString) {
    if let Err(error) = audit::write(js, audit::Log::Admins, &AuditEvent::of_operator(action, target)).await {
        let error = anyhow::Error::from(error);
        tracing::warn!(error = format!("{error:#}"), "audit event not stored");
    }
}
