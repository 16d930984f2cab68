//! The default branch of a repository, as the forge names it: its newest green commit is what a function is.

use hooks::GitRef;
use jobs::{Repo, bucket::Entry};

use crate::{error::ApiError, repos::Registrations};

impl Registrations {
    /// Records which branch is the default. `None`: it was not named, and what is known stays.
    pub(crate) async fn set_default_branch(
        &self,
        repo: &Repo,
        branch: Option<&GitRef>,
    ) -> Result<(), ApiError> {
        let Some(branch) = branch else { return Ok(()) };
        let is_known = |repo: &Repo| {
            let known = repo.default_branch.as_ref();
            known.is_some_and(|known| known.as_str() == branch.as_str())
        };
        if is_known(repo) {
            return Ok(());
        }
        let named = |now: &Entry<Repo>| {
            let default_branch = Some(branch.clone().into());
            (!is_known(&now.value)).then(|| Repo { default_branch, ..now.value.clone() })
        };
        if let Some(entry) = self.ledger.repos.change(&repo.id.to_string(), named).await? {
            self.repos.note(entry);
        }
        Ok(())
    }
}
