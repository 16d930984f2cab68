//! `installation` and `installation_repositories`: the App was installed, changed or removed.
//!
//! Whose installations are accepted is decided here: those of the App's owner and of the accounts in
//! `GITFAAS_GITHUB_ACCOUNTS`; every other is held until an admin approves it. An installation that was
//! accepted once is known by its owner's record. GitHub out of reach is never an error: then what the
//! event itself says counts, and the reason tells so.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hooks::{
    Incoming,
    incoming::{Account, InstallationAction, InstalledRepository},
};
use jobs::{Delivery, Verdict, accounts::OwnerKind};

use crate::{
    error::ApiError,
    repos::{
        Registrations,
        installation::{GITHUB, GithubApp, is_refusal, repositories::Brought},
    },
};

/// The provider of the identities of installations.
const PROVIDER: &str = "github-installation";
/// Repositories registered at once: each is a few writes.
const AT_ONCE: usize = 16;

/// What was decided, and a sentence for the ledger.
pub(crate) type Decision = (Verdict, String);

/// What an event says, of either kind.
struct Told<'a> {
    id: u64,
    account: &'a Account,
    app_id: Option<u64>,
    what: What<'a>,
}

enum What<'a> {
    /// It is there; the event's list may be cut.
    There(&'a [InstalledRepository]),
    /// It is gone.
    Gone(&'a [InstalledRepository]),
    /// It may do nothing for now.
    Suspended,
    /// Some came, some went.
    Changed { added: &'a [InstalledRepository], removed: &'a [InstalledRepository] },
}

impl<'a> Told<'a> {
    fn of(event: &'a Incoming) -> Option<Self> {
        match event {
            Incoming::Installation(event) => Some(Self {
                id: event.id,
                account: &event.account,
                app_id: event.app_id,
                what: match event.action {
                    InstallationAction::Created
                    | InstallationAction::Unsuspended
                    | InstallationAction::PermissionsAccepted => What::There(&event.repositories),
                    InstallationAction::Deleted => What::Gone(&event.repositories),
                    InstallationAction::Suspended => What::Suspended,
                },
            }),
            Incoming::InstallationRepositories(event) => Some(Self {
                id: event.id,
                account: &event.account,
                app_id: event.app_id,
                what: What::Changed { added: &event.added, removed: &event.removed },
            }),
            Incoming::Push(_)
            | Incoming::Ping
            | Incoming::PullRequest(_)
            | Incoming::Rerequested(_)
            | Incoming::Ignored(_) => None,
        }
    }
}

/// Whether somebody approved this delivery.
pub(crate) fn is_approved(delivery: &Delivery) -> bool {
    delivery.approval.installation.is_some()
}

/// Whether an event is about an installation of the App.
pub(crate) fn is_of_installation(event: &Incoming) -> bool {
    Told::of(event).is_some()
}

impl Registrations {
    /// Does what an installation's event says. Only the App's own hook is believed: whoever has the
    /// secret of a repository's hook can sign anything.
    pub(crate) async fn take_installation(
        &self,
        delivery: &Delivery,
        event: &Incoming,
    ) -> Result<Decision, ApiError> {
        let Some(told) = Told::of(event).filter(|_| delivery.hook == GITHUB) else {
            return Ok(ignored("installations are told to the App's own hook"));
        };
        let Some(app) = &self.app else { return Ok(ignored("no GitHub App is configured")) };
        if told.app_id.is_some_and(|id| id != app.id()) {
            return Ok(ignored("an installation of another App"));
        }
        match told.what {
            What::Gone(listed) => {
                app.forget(told.id);
                let count = self.take_all_away(told.id, listed).await?;
                Ok(accepted(format!("unregistered {}", repositories(count))))
            }
            What::Suspended => {
                app.forget(told.id);
                let lent = self.lent_to(told.id, &[]).await?;
                let count = lent.len();
                for entry in lent {
                    self.silence(entry).await?;
                }
                Ok(accepted(format!("suspended: {} no status any more", posting(count))))
            }
            What::There(listed) => match self.is_accepted(app, delivery, &told).await? {
                Err(held) => Ok(held),
                Ok(()) => self.bring_listed(app, &told, listed).await,
            },
            What::Changed { added, removed } => {
                let gone = self.take_some_away(told.id, removed).await?;
                if added.is_empty() && !removed.is_empty() {
                    return Ok(accepted(format!("unregistered {}", repositories(gone))));
                }
                match self.is_accepted(app, delivery, &told).await? {
                    Err(held) => Ok(held),
                    // Switched to all repositories: the event need not name them.
                    Ok(()) if added.is_empty() => self.bring_listed(app, &told, added).await,
                    Ok(()) => self.bring_all(&told, added.to_vec(), "").await,
                }
            }
        }
    }

    /// Whether this installation's account may bring repositories; else the verdict to be held.
    async fn is_accepted(
        &self,
        app: &GithubApp,
        delivery: &Delivery,
        told: &Told<'_>,
    ) -> Result<Result<(), Decision>, ApiError> {
        let login = &told.account.login;
        let listed = self.github.accounts.iter().any(|known| known.eq_ignore_ascii_case(login));
        if listed || is_approved(delivery) {
            return Ok(Ok(()));
        }
        if self.ledger.accounts.find(PROVIDER, &told.id.to_string()).await?.is_some() {
            return Ok(Ok(()));
        }
        let unknown = match app.is_owners(told.account).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => String::new(),
            Err(error) => format!("; GitHub does not tell whose the App is: {error}"),
        };
        let reason = format!("installations of {login} are not accepted unless an admin approves{unknown}");
        Ok(Err((Verdict::Held, reason)))
    }

    /// Registers all that GitHub says it is installed on, else what the event lists.
    async fn bring_listed(
        &self,
        app: &GithubApp,
        told: &Told<'_>,
        listed: &[InstalledRepository],
    ) -> Result<Decision, ApiError> {
        let (all, but) = match app.repositories(told.id).await {
            Ok(all) => (all, String::new()),
            Err(error) if is_refusal(&error) => {
                return Ok((Verdict::Ignored, format!("the installation is gone or suspended: {error}")));
            }
            Err(error) => {
                (listed.to_vec(), format!("; GitHub does not list them, these are the event's: {error}"))
            }
        };
        self.bring_all(told, all, &but).await
    }

    async fn bring_all(
        &self,
        told: &Told<'_>,
        list: Vec<InstalledRepository>,
        but: &str,
    ) -> Result<Decision, ApiError> {
        let (id, login) = (told.id, told.account.login.as_str());
        let owner =
            match self.budgets.owner(PROVIDER, &id.to_string(), login, OwnerKind::Installation).await? {
                Ok(owner) => owner.value.id,
                Err(full) => return Ok((Verdict::Refused, full.to_string())),
            };
        let brought: Vec<Brought> = stream::iter(list)
            .map(|item| async move { self.bring(id, owner, &item).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let registered = brought.iter().filter(|brought| **brought == Brought::Registered).count();
        tracing::info!(
            installation = id,
            account = login,
            registered,
            "an installation brought repositories"
        );
        let too_many = brought.iter().filter(|brought| **brought == Brought::TooMany).count();
        let left = match too_many {
            0 => String::new(),
            count => format!("; {count} more are over the installation's limit of repositories"),
        };
        Ok(accepted(format!("registered {}{left}{but}", repositories(registered))))
    }

    async fn take_all_away(
        &self,
        installation: u64,
        listed: &[InstalledRepository],
    ) -> Result<usize, ApiError> {
        let lent = self.lent_to(installation, listed).await?;
        let count = lent.len();
        for entry in lent {
            self.take_away(entry).await?;
        }
        tracing::info!(installation, count, "an installation took repositories away");
        Ok(count)
    }

    async fn take_some_away(
        &self,
        installation: u64,
        removed: &[InstalledRepository],
    ) -> Result<usize, ApiError> {
        let mut lent = self.lent_to(installation, removed).await?;
        lent.retain(|entry| removed.iter().any(|item| entry.value.forge_id == Some(item.forge_id)));
        let count = lent.len();
        for entry in lent {
            self.take_away(entry).await?;
        }
        Ok(count)
    }
}

fn accepted(reason: String) -> Decision {
    (Verdict::Accepted, reason)
}

fn ignored(why: &str) -> Decision {
    (Verdict::Ignored, why.to_owned())
}

fn repositories(count: usize) -> String {
    if count == 1 { "1 repository".to_owned() } else { format!("{count} repositories") }
}

fn posting(count: usize) -> String {
    if count == 1 { "1 repository posts".to_owned() } else { format!("{count} repositories post") }
}
