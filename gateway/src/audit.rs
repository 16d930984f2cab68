//! The audit log, as requests write it. What it holds is [`jobs::audit`]'s; [`crate::api::audit`] shows it.
//!
//! The action comes first. When its event cannot be written, the action stands and an error is logged with
//! the whole event: answering "not done" would be wrong, and the client would repeat the action.

use jobs::{
    Ledger, UserId, audit,
    audit::{Action, AuditEvent, By, Log},
};

use crate::http::client_ip;

/// Who performed an action, and with which credential.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Actor {
    pub(crate) user: Option<UserId>,
    pub(crate) by: Option<By>,
    pub(crate) log: Log,
}

impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self { user: Some(user), by: None, log: Log::Users }
    }
}

/// Writes the audit log.
#[derive(Clone)]
pub(crate) struct AuditLog {
    pub(crate) ledger: Ledger,
}

impl AuditLog {
    /// Records an action.
    pub(crate) async fn write(&self, actor: impl Into<Actor>, action: Action, target: impl ToString) {
        self.write_with(actor, action, target, None).await;
    }

    /// The same, with a short detail: never free text of unbounded length from a request.
    pub(crate) async fn write_with(
        &self,
        actor: impl Into<Actor>,
        action: Action,
        target: impl ToString,
        detail: Option<String>,
    ) {
        let Actor { user, by, log } = actor.into();
        let event = AuditEvent {
            action,
            user,
            by,
            address: client_ip::address(),
            target: target.to_string(),
            detail,
        };
        if let Err(error) = audit::write(&self.ledger.js, log, &event).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), ?event, "audit event not written");
        }
    }
}
