//! `GET /api/v1/audit`: both logs, users' and admins', as one list, newest first.

use std::collections::VecDeque;

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use axum::{Json, extract::State};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use jobs::{
    api::{self, AuditEvent, ListAudit, Page},
    streams,
};
use serde_json::{Map, Value};

use crate::{
    api::{
        jobs::PAGE,
        responses::{BadRequest, WithScope},
    },
    audit::AuditLog,
    auth::rights::AdminReader,
    error::ApiError,
    extract::Query,
    state::Gateway,
};

/// Entries read at once.
const READ_AT_ONCE: usize = 32;
/// Entries looked at for one page that is filtered; the cursor goes on from there.
const MAX_LOOKED_AT: usize = 2000;
/// The logs, and what the ids of their entries begin with.
const LOGS: [(&str, &str); 2] = [(streams::AUDIT, ""), (streams::AUDIT_ADMIN, "a")];

/// Where the next page begins in each log: the sequences that come first, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor([u64; 2]);

impl Cursor {
    /// `<of users>-<of admins>`; one number alone, as before there were two logs, is of users.
    fn read(text: &str) -> Option<Self> {
        let (users, admins) = text.split_once('-').unwrap_or((text, "0"));
        match text.contains('-') {
            true => Some(Self([users.parse().ok()?, admins.parse().ok()?])),
            false => Some(Self([users.parse::<u64>().ok()?.saturating_sub(1), admins.parse().ok()?])),
        }
    }
}

/// One log, read backwards.
struct Log {
    stream: Stream,
    prefix: &'static str,
    /// What is read next.
    next: u64,
    first: u64,
    read: VecDeque<AuditEvent>,
}

impl Log {
    /// Reads on where nothing is left in memory.
    async fn fill(&mut self) -> Result<(), ApiError> {
        while self.read.is_empty() && self.next >= self.first && self.next > 0 {
            let last = self.next.saturating_sub(READ_AT_ONCE as u64 - 1).max(self.first);
            let (log, prefix) = (&self.stream, self.prefix);
            let read = stream::iter((last..=self.next).rev()).map(|sequence| async move {
                match log.get_raw_message(sequence).await {
                    Ok(message) => Ok(view(prefix, &message)),
                    // It grew a year old meanwhile.
                    Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                    Err(error) => Err(ApiError::Unavailable(error.into())),
                }
            });
            let found: Vec<Option<AuditEvent>> = read.buffered(READ_AT_ONCE).try_collect().await?;
            self.read.extend(found.into_iter().flatten());
            self.next = last - 1;
        }
        Ok(())
    }

    /// Where the next page begins in this log.
    fn position(&self) -> u64 {
        let unread = self.read.front().and_then(|event| event.id.trim_start_matches('a').parse().ok());
        unread.unwrap_or(if self.next >= self.first { self.next } else { 0 })
    }
}

fn view(prefix: &str, message: &async_nats::jetstream::message::StreamMessage) -> Option<AuditEvent> {
    let mut fields: Map<String, Value> = serde_json::from_slice(&message.payload).ok()?;
    fields.remove("v");
    let at = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok()?;
    fields.insert("id".to_owned(), format!("{prefix}{}", message.sequence).into());
    fields.insert("at".to_owned(), at.to_string().into());
    serde_json::from_value(Value::Object(fields)).ok()
}

/// Who did what, newest first; for admins.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "api", operation_id = "audit",
    params(ListAudit),
    responses(
        (status = 200, description = "A page.", body = Page<AuditEvent>),
        WithScope,
        BadRequest,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    _: AdminReader,
    State(gateway): State<Gateway>,
    Query(params): Query<ListAudit>,
) -> Result<Json<Page<AuditEvent>>, ApiError> {
    let wrong = || ApiError::BadRequest("cursor: none of this list".to_owned());
    let cursor = params.cursor.as_deref().map(|text| Cursor::read(text).ok_or_else(wrong)).transpose()?;
    let mut logs = gateway.audit.logs(params.log, cursor).await?;
    let users: Option<Vec<String>> = params.user.as_ref().map(|named| {
        let found = gateway.users.find(|user| user.email == *named);
        found.iter().map(|user| user.value.id.to_string()).chain([named.clone()]).collect()
    });
    let is_wanted = |event: &AuditEvent| {
        let user = event.user.map(|id| id.to_string()).unwrap_or_default();
        params.action.is_none_or(|action| event.action == action)
            && users.as_ref().is_none_or(|users| users.contains(&user))
            && params.target.as_ref().is_none_or(|target| event.target.starts_with(target.as_str()))
    };
    let limit = params.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let mut items = Vec::new();
    for _ in 0..MAX_LOOKED_AT {
        for log in &mut logs {
            log.fill().await?;
        }
        let newest = logs.iter_mut().max_by_key(|log| log.read.front().map(|event| event.at));
        let Some(mut event) = newest.and_then(|log| log.read.pop_front()) else { break };
        if is_wanted(&event) {
            let user = event.user.and_then(|id| gateway.users.get(&id.to_string()));
            event.email = user.map(|user| user.value.email);
            items.push(event);
        }
        if items.len() == limit {
            break;
        }
    }
    let [users, admins] = [0, 1]
        .map(|which: usize| logs.iter().find(|log| log.prefix == LOGS[which].1).map_or(0, Log::position));
    let next = (users + admins > 0).then(|| format!("{users}-{admins}"));
    Ok(Json(Page { items, next }))
}

impl AuditLog {
    async fn logs(&self, which: Option<api::AuditLog>, cursor: Option<Cursor>) -> Result<Vec<Log>, ApiError> {
        let mut logs = Vec::new();
        for (index, (name, prefix)) in LOGS.into_iter().enumerate() {
            let is_asked = match which {
                None => true,
                Some(api::AuditLog::Users) => name == streams::AUDIT,
                Some(api::AuditLog::Admins) => name == streams::AUDIT_ADMIN,
            };
            if !is_asked {
                continue;
            }
            let opened = self.ledger.js.get_stream(name).await;
            let stream = opened.map_err(|error| ApiError::Unavailable(error.into()))?;
            let state = &stream.cached_info().state;
            let (first, last) = (state.first_sequence.max(1), state.last_sequence);
            let next = cursor.map_or(last, |Cursor(next)| next[index].min(last));
            logs.push(Log { stream, prefix, next, first, read: VecDeque::new() });
        }
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_before_there_were_two_logs_goes_on_where_it_was() {
        assert_eq!(Cursor::read("12-7"), Some(Cursor([12, 7])));
        assert_eq!(Cursor::read("12"), Some(Cursor([11, 0])));
        assert_eq!(Cursor::read("soon"), None);
    }
}
