//! The audit log, as requests write it. What it holds is [`jobs::audit`]'s; [`crate::api::audit`] shows it.
//!
//! The deed comes first. When its entry cannot be written, the deed stands, and an error in the log
//! says what is missing: an answer "not done" would be a lie, and its client would do it twice.

use jobs::{
    Ledger, UserId, audit,
    audit::{Action, By, Deed, Log},
};

use crate::http::client_ip;

/// Who did it, and by what right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doer {
    pub(crate) user: Option<UserId>,
    pub(crate) by: Option<By>,
    pub(crate) log: Log,
}

impl From<UserId> for Doer {
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
    /// Notes what somebody did.
    pub(crate) async fn write(&self, who: impl Into<Doer>, action: Action, target: impl ToString) {
        self.write_with(who, action, target, None).await;
    }

    /// The same, with a few words more: never anything that a stranger wrote at length.
    pub(crate) async fn write_with(
        &self,
        who: impl Into<Doer>,
        action: Action,
        target: impl ToString,
        detail: Option<String>,
    ) {
        let Doer { user, by, log } = who.into();
        let deed =
            Deed { action, user, by, address: client_ip::address(), target: target.to_string(), detail };
        if let Err(error) = audit::write(&self.ledger.js, log, &deed).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), ?deed, "a deed is not in the audit log");
        }
    }
}
