//! The audit log, as requests write it. What it holds is [`jobs::audit`]'s; [`crate::api::audit`] shows it.
//!
//! The deed comes first. When its entry cannot be written, the deed stands, and an error in the log
//! says what is missing: an answer "not done" would be a lie, and its client would do it twice.

use hooks::Incoming;
use jobs::{
    UserId, Verdict,
    audit::{self, Action, By, Deed, Log},
};

use crate::{auth::caller::Caller, http::client_ip, state::Gateway};

/// Who did it, and by what right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doer {
    pub(crate) user: Option<UserId>,
    pub(crate) by: Option<By>,
    pub(crate) log: Log,
}

impl From<&Caller> for Doer {
    fn from(caller: &Caller) -> Self {
        let by = caller.session.map_or(By::Token(caller.token), By::Session);
        let log = if caller.is_admin() { Log::Admins } else { Log::Users };
        Self { user: Some(caller.user.id), by: Some(by), log }
    }
}

impl From<UserId> for Doer {
    fn from(user: UserId) -> Self {
        Self { user: Some(user), by: None, log: Log::Users }
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
        let Doer { user, by, log } = who.into();
        let deed =
            Deed { action, user, by, address: client_ip::address(), target: target.to_string(), detail };
        if let Err(error) = audit::write(&self.ledger.js, log, &deed).await {
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
            let forge = Doer { user: None, by: Some(By::Forge), log: Log::Users };
            self.audit_with(forge, Action::InstallationChanged, id, Some(reason.to_owned())).await;
        }
    }
}
