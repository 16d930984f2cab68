//! `installation` and `installation_repositories`: the App was installed, changed or removed.
//!
//! Accepted installations are those of the App's owner and of the accounts in `GITFAAS_GITHUB_ACCOUNTS`;
//! every other awaits the approval of an admin. An installation that was accepted once has an owner record.
//! An unreachable GitHub is never an error: then the event's own list counts, and the reason says so.

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
        installation::{GITHUB, GithubApp, is_refusal, repositories::RegisterOutcome},
    },
};

/// The provider of the identities of installations.
const PROVIDER: &str = "github-installation";
/// Repositories registered at once: each is a few writes.
const MAX_CONCURRENT: usize = 16;

/// The verdict on a delivery, and its reason for the ledger.
pub(crate) type Decision = (Verdict, String);

/// The content of an event of either kind.
struct InstallationChange<'a> {
    id: u64,
    account: &'a Account,
    app_id: Option<u64>,
    kind: ChangeKind<'a>,
}

enum ChangeKind<'a> {
    /// It was installed; the event's list may be incomplete.
    Installed(&'a [InstalledRepository]),
    /// It was uninstalled.
    Uninstalled(&'a [InstalledRepository]),
    /// It was suspended.
    Suspended,
    /// Repositories were added and removed.
    RepositoriesChanged { added: &'a [InstalledRepository], removed: &'a [InstalledRepository] },
}

impl<'a> InstallationChange<'a> {
    fn of(event: &'a Incoming) -> Option<Self> {
        match event {
            Incoming::Installation(event) => Some(Self {
                id: event.id,
                account: &event.account,
                app_id: event.app_id,
                kind: match event.action {
                    InstallationAction::Created
                    | InstallationAction::Unsuspended
                    | InstallationAction::PermissionsAccepted => ChangeKind::Installed(&event.repositories),
                    InstallationAction::Deleted => ChangeKind::Uninstalled(&event.repositories),
                    InstallationAction::Suspended => ChangeKind::Suspended,
                },
            }),
            Incoming::InstallationRepositories(event) => Some(Self {
                id: event.id,
                account: &event.account,
                app_id: event.app_id,
                kind: ChangeKind::RepositoriesChanged { added: &event.added, removed: &event.removed },
            }),
            Incoming::Push(_)
            | Incoming::Ping
            | Incoming::PullRequest(_)
            | Incoming::Rerequested(_)
            | Incoming::Ignored(_) => None,
        }
    }
}

/// Whether this delivery was approved.
pub(crate) fn is_approved(delivery: &Delivery) -> bool {
    delivery.approval.installation.is_some()
}

/// Whether an event is about an installation of the App.
pub(crate) fn is_of_installation(event: &Incoming) -> bool {
    InstallationChange::of(event).is_some()
}

impl Registrations {
    /// Applies an installation event. Only the App's own webhook is trusted: the secret of a repository's
    /// webhook is known to its owner, who could sign anything.
    pub(crate) async fn apply_installation_event(
        &self,
        delivery: &Delivery,
        event: &Incoming,
    ) -> Result<Decision, ApiError> {
        let Some(change) = InstallationChange::of(event).filter(|_| delivery.hook == GITHUB) else {
            return Ok(ignored("installations are told to the App's own hook"));
        };
        let Some(app) = &self.app else { return Ok(ignored("no GitHub App is configured")) };
        if change.app_id.is_some_and(|id| id != app.id()) {
            return Ok(ignored("an installation of another App"));
        }
        match change.kind {
            ChangeKind::Uninstalled(listed) => {
                app.forget(change.id);
                let count = self.remove_all(change.id, listed).await?;
                Ok(accepted(format!("unregistered {}", repositories(count))))
            }
            ChangeKind::Suspended => {
                app.forget(change.id);
                let registrations = self.registrations_of_installation(change.id, &[]).await?;
                let count = registrations.len();
                for entry in registrations {
                    self.stop_reporting(entry).await?;
                }
                Ok(accepted(format!("suspended: {} no status any more", posting(count))))
            }
            ChangeKind::Installed(listed) => match self.is_accepted(app, delivery, &change).await? {
                Err(held) => Ok(held),
                Ok(()) => self.register_listed(app, &change, listed).await,
            },
            ChangeKind::RepositoriesChanged { added, removed } => {
                let gone = self.remove_listed(change.id, removed).await?;
                if added.is_empty() && !removed.is_empty() {
                    return Ok(accepted(format!("unregistered {}", repositories(gone))));
                }
                match self.is_accepted(app, delivery, &change).await? {
                    Err(held) => Ok(held),
                    // Switched to all repositories: the event may not list them.
                    Ok(()) if added.is_empty() => self.register_listed(app, &change, added).await,
                    Ok(()) => self.register_all(&change, added.to_vec(), "").await,
                }
            }
        }
    }

    /// Whether this installation's account is accepted; else the verdict that it awaits approval.
    async fn is_accepted(
        &self,
        app: &GithubApp,
        delivery: &Delivery,
        change: &InstallationChange<'_>,
    ) -> Result<Result<(), Decision>, ApiError> {
        let login = &change.account.login;
        let listed = self.github.accounts.iter().any(|known| known.eq_ignore_ascii_case(login));
        if listed || is_approved(delivery) {
            return Ok(Ok(()));
        }
        if self.ledger.accounts.find(PROVIDER, &change.id.to_string()).await?.is_some() {
            return Ok(Ok(()));
        }
        let unknown = match app.is_owners(change.account).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => String::new(),
            Err(error) => format!("; GitHub does not tell whose the App is: {error}"),
        };
        let reason = format!("installations of {login} are not accepted unless an admin approves{unknown}");
        Ok(Err((Verdict::Held, reason)))
    }

    /// Registers all repositories of the installation that GitHub lists, else those of the event.
    async fn register_listed(
        &self,
        app: &GithubApp,
        change: &InstallationChange<'_>,
        listed: &[InstalledRepository],
    ) -> Result<Decision, ApiError> {
        let (all, but) = match app.repositories(change.id).await {
            Ok(all) => (all, String::new()),
            Err(error) if is_refusal(&error) => {
                return Ok((Verdict::Ignored, format!("the installation is gone or suspended: {error}")));
            }
            Err(error) => {
                (listed.to_vec(), format!("; GitHub does not list them, these are the event's: {error}"))
            }
        };
        self.register_all(change, all, &but).await
    }

    async fn register_all(
        &self,
        change: &InstallationChange<'_>,
        list: Vec<InstalledRepository>,
        but: &str,
    ) -> Result<Decision, ApiError> {
        let (id, login) = (change.id, change.account.login.as_str());
        let owner =
            match self.budgets.owner(PROVIDER, &id.to_string(), login, OwnerKind::Installation).await? {
                Ok(owner) => owner.value.id,
                Err(full) => return Ok((Verdict::Refused, full.to_string())),
            };
        let results: Vec<RegisterOutcome> = stream::iter(list)
            .map(|item| async move { self.register_installed(id, owner, &item).await })
            .buffer_unordered(MAX_CONCURRENT)
            .try_collect()
            .await?;
        let registered = results.iter().filter(|outcome| **outcome == RegisterOutcome::Registered).count();
        tracing::info!(
            installation = id,
            account = login,
            registered,
            "installation repositories registered"
        );
        let too_many = results.iter().filter(|outcome| **outcome == RegisterOutcome::LimitReached).count();
        let left = match too_many {
            0 => String::new(),
            count => format!("; {count} more are over the installation's limit of repositories"),
        };
        Ok(accepted(format!("registered {}{left}{but}", repositories(registered))))
    }

    async fn remove_all(&self, installation: u64, listed: &[InstalledRepository]) -> Result<usize, ApiError> {
        let registrations = self.registrations_of_installation(installation, listed).await?;
        let count = registrations.len();
        for entry in registrations {
            self.remove_installed(entry).await?;
        }
        tracing::info!(installation, count, "installation repositories unregistered");
        Ok(count)
    }

    async fn remove_listed(
        &self,
        installation: u64,
        removed: &[InstalledRepository],
    ) -> Result<usize, ApiError> {
        let mut registrations = self.registrations_of_installation(installation, removed).await?;
        registrations.retain(|entry| removed.iter().any(|item| entry.value.forge_id == Some(item.forge_id)));
        let count = registrations.len();
        for entry in registrations {
            self.remove_installed(entry).await?;
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
