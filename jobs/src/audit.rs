//! The audit log: who did what, kept for a year in the streams `AUDIT` and `AUDIT_ADMIN`.
//!
//! An entry names people, tokens and things by their ids. It never holds a body, a value or a token's
//! text. It is written after the action, so that it records what was done and not what was tried; a program
//! that cannot write it logs the whole event, and the action stands.

use std::{net::IpAddr, time::Duration};

use async_nats::jetstream;
use serde::{Deserialize, Serialize};

use crate::{SessionId, TokenId, UserId, bucket::VERSION, streams};

/// NATS stored the action itself a moment ago; the caller's answer is delayed no longer than this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What was done. This is the wire format: add variants, never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A session began; the target is its provider.
    SignedIn,
    /// A browser keeps an API token; the target is the token.
    TokenKept,
    /// A session was ended by its user; the target is the session.
    SignedOut,
    /// A refresh token came twice, so its session was ended; the target is the session.
    SessionRevoked,
    /// A further account leads to the user; the target is its provider.
    AccountLinked,
    /// An API token was made; the target is the token.
    TokenMade,
    /// An API token was revoked; the target is the token.
    TokenRevoked,
    /// A user was made an admin; the target is the user.
    AdminMade,
    /// An operator changed what a user was given; the target is the user, the detail what it is now.
    UserChanged,
    /// A repository was registered; the target is the repository.
    RepoAdded,
    /// A registration was changed; the target is the repository, the detail the names of the fields.
    RepoChanged,
    /// A registration was removed; the target is the repository.
    RepoRemoved,
    /// A registration posts a repository's statuses in place of another; the target is the one that posts
    /// now, the detail the other.
    StatusOwnerChanged,
    /// A secret was stored; the target is `<repository>.<NAME>`.
    SecretSet,
    /// A secret was removed; the target is `<repository>.<NAME>`.
    SecretRemoved,
    /// An alias was made or moved; the target is `<repository>.<alias>`, the detail what it stands for now, and
    /// before.
    AliasSet,
    /// An alias was moved back; the target is `<repository>.<alias>`, the detail from what to what.
    AliasRolledBack,
    /// An alias was removed; the target is `<repository>.<alias>`, the detail what it stood for.
    AliasRemoved,
    /// A job was cancelled; the target is the job.
    JobCancelled,
    /// A job that was over was removed with log and result; the target is the job.
    JobRemoved,
    /// A job was run again; the target is the new job, the detail the old one.
    JobRerun,
    /// A held delivery was approved; the target is the delivery.
    DeliveryApproved,
    /// A delivery was replayed; the target is the new delivery.
    DeliveryReplayed,
    /// An installation of the GitHub App came, changed or went; the target is its number, the detail
    /// what became of it.
    InstallationChanged,
    /// Everything sealed was sealed anew; the target is the id of the new key.
    MasterKeyChanged,
}

impl Action {
    /// The word in the subject and in lists.
    pub fn word(self) -> String {
        let word = serde_json::to_value(self).expect("an action is a word");
        word.as_str().unwrap_or_default().to_owned()
    }
}

/// By what right somebody did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// An API token.
    Token(TokenId),
    /// A sign-in.
    Session(SessionId),
    /// A command on NATS itself.
    Operator,
    /// A signed delivery of a forge.
    Forge,
}

/// An entry. When it was written is the NATS server's time, its number the stream's sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// What was done.
    pub action: Action,
    /// Who; absent for an operator's command and a forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// By what right; absent where a sign-in only began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// From where, as far as the gateway can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// To what: an id, or a name of ours.
    pub target: String,
    /// A few words more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl AuditEvent {
    /// A command of the operator's on NATS itself.
    pub fn of_operator(action: Action, target: impl ToString) -> Self {
        Self {
            action,
            user: None,
            by: Some(By::Operator),
            address: None,
            target: target.to_string(),
            detail: None,
        }
    }

    /// The bytes that are stored.
    fn encode(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("an audit event is JSON");
        if let Some(fields) = value.as_object_mut() {
            fields.insert("v".to_owned(), VERSION.into());
        }
        value.to_string().into_bytes()
    }
}

/// Which of the two logs an entry goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Log {
    /// What users and forges did.
    #[default]
    Users,
    /// What admins and operators did: no number of users' events pushes it out.
    Admins,
}

/// NATS did not take an entry.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It refused, or is away.
    #[error("nats: write to {}", streams::AUDIT)]
    Nats(#[from] jetstream::context::PublishError),
    /// No answer within `TIMEOUT`.
    #[error("nats: write to {}: no answer", streams::AUDIT)]
    Silent,
}

/// Writes an entry.
///
/// # Errors
/// NATS did not take it, or not in time.
pub async fn write(js: &jetstream::Context, log: Log, event: &AuditEvent) -> Result<(), AuditError> {
    let action = event.action.word();
    let subject = match log {
        Log::Users => streams::audit(&action),
        Log::Admins => streams::audit_admin(&action),
    };
    let writing = async { Ok(js.publish(subject, event.encode().into()).await?.await?) };
    let written: Result<_, AuditError> =
        tokio::time::timeout(TIMEOUT, writing).await.unwrap_or(Err(AuditError::Silent));
    written.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_as_it_is_stored() {
        let event = AuditEvent {
            action: Action::SecretSet,
            user: Some("0197a000-0000-7000-8000-000000000001".parse().unwrap()),
            by: Some(By::Token("0197a000-0000-7000-8000-000000000002".parse().unwrap())),
            address: Some("192.0.2.1".parse().unwrap()),
            target: "0197a000-0000-7000-8000-000000000003.KEY".to_owned(),
            detail: None,
        };
        insta::assert_snapshot!(String::from_utf8(event.encode()).unwrap(), @r#"{"action":"secret_set","address":"192.0.2.1","by":{"token":"0197a000-0000-7000-8000-000000000002"},"target":"0197a000-0000-7000-8000-000000000003.KEY","user":"0197a000-0000-7000-8000-000000000001","v":1}"#);
        insta::assert_snapshot!(
            String::from_utf8(AuditEvent::of_operator(Action::TokenMade, "x").encode()).unwrap(),
            @r#"{"action":"token_made","by":"operator","target":"x","v":1}"#
        );
    }
}
