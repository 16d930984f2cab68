//! The audit log, as requests write it and admins read it. What it holds is [`jobs::audit`]'s.
//!
//! The deed comes first. When its entry cannot be written, the deed stands, and an error in the log
//! says what is missing: an answer "not done" would be a lie, and its client would do it twice.

use std::sync::Arc;

use async_nats::jetstream::stream::RawMessageErrorKind;
use axum::{Json, extract::State};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hooks::Incoming;
use http::HeaderMap;
use jiff::Timestamp;
use jobs::{
    UserId, Verdict,
    audit::{self, Action, By, Deed},
    streams,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{auth::Caller, body::Query, calls::PAGE, client, error::ApiError, gateway::Gateway, view::List};

/// Entries read at once for a list.
const READ_AT_ONCE: usize = 32;

/// Who did it, and by what right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doer {
    pub(crate) user: Option<UserId>,
    pub(crate) by: Option<By>,
}

impl From<&Caller> for Doer {
    fn from(caller: &Caller) -> Self {
        let by = caller.session.map_or(By::Token(caller.token), By::Session);
        Self { user: Some(caller.user.id), by: Some(by) }
    }
}

impl From<UserId> for Doer {
    fn from(user: UserId) -> Self {
        Self { user: Some(user), by: None }
    }
}

impl Gateway {
    /// Notes what somebody did.
    pub(crate) async fn audit(&self, who: impl Into<Doer>, action: Action, target: impl ToString) {
        self.audit_with(who, action, target, None).await;
    }

    /// The same, with a few words more: never anything that a stranger wrote at length.
    pub(crate) async fn audit_with(
        &self,
        who: impl Into<Doer>,
        action: Action,
        target: impl ToString,
        detail: Option<String>,
    ) {
        let Doer { user, by } = who.into();
        let deed = Deed { action, user, by, address: client::address(), target: target.to_string(), detail };
        if let Err(error) = audit::write(&self.ledger.js, &deed).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), ?deed, "a deed is not in the audit log");
        }
    }
}

impl Gateway {
    /// Notes what became of an installation of the GitHub App.
    pub(crate) async fn audit_installation(&self, event: &Incoming, verdict: Verdict, reason: &str) {
        let id = match event {
            Incoming::Installation(event) => event.id,
            Incoming::InstallationRepositories(event) => event.id,
            Incoming::Push(_)
            | Incoming::PullRequest(_)
            | Incoming::Rerequested(_)
            | Incoming::Ping
            | Incoming::Ignored(_) => return,
        };
        // Nothing was changed otherwise.
        if verdict == Verdict::Accepted {
            let forge = Doer { user: None, by: Some(By::Forge) };
            self.audit_with(forge, Action::InstallationChanged, id, Some(reason.to_owned())).await;
        }
    }
}

/// An entry as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct DeedView {
    /// Also the cursor.
    id: String,
    at: Timestamp,
    /// Of the user, as far as he is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// As it was written, also by a newer gateway.
    #[serde(flatten)]
    deed: Map<String, Value>,
}

/// Of `GET /api/v1/audit`.
#[derive(Deserialize)]
pub(crate) struct Asked {
    limit: Option<usize>,
    cursor: Option<u64>,
}

/// `GET /api/v1/audit`: for admins, newest first.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<List<DeedView>>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    if !caller.is_admin() {
        return Err(ApiError::Forbidden("an admin's token is needed".to_owned()));
    }
    let away = |error: anyhow::Error| ApiError::Unavailable(error);
    let log = gateway.ledger.js.get_stream(streams::AUDIT).await.map_err(|error| away(error.into()))?;
    let state = &log.cached_info().state;
    let newest = asked.cursor.map_or(state.last_sequence, |cursor| cursor.saturating_sub(1));
    let newest = newest.min(state.last_sequence);
    let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    // Nothing is ever taken out of the middle.
    let oldest = state.first_sequence.max(1).max((newest + 1).saturating_sub(limit as u64));
    let read = stream::iter((oldest..=newest).rev())
        .map(|sequence| {
            let log = &log;
            async move {
                match log.get_raw_message(sequence).await {
                    Ok(message) => Ok(Some(message)),
                    // It grew a year old meanwhile.
                    Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                    Err(error) => Err(ApiError::Unavailable(error.into())),
                }
            }
        })
        .buffered(READ_AT_ONCE);
    let found: Vec<_> = read.try_collect().await?;
    let items = found.into_iter().flatten().filter_map(|message| {
        let mut deed: Map<String, Value> = serde_json::from_slice(&message.payload).ok()?;
        deed.remove("v");
        let user = deed.get("user").and_then(|id| id.as_str()?.parse::<UserId>().ok());
        let email = user.and_then(|id| gateway.users.find(|user| user.id == id).pop());
        let at = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok()?;
        Some(DeedView {
            id: message.sequence.to_string(),
            at,
            email: email.map(|entry| entry.value.email),
            deed,
        })
    });
    let next = (newest >= oldest && oldest > state.first_sequence.max(1)).then(|| oldest.to_string());
    Ok(Json(List { items: items.collect(), next }))
}
