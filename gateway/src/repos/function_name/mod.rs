//! The names of functions: every registration has one, from its first write on.
//!
//! One that an installation of the App brings is named after it became the status owner: several gateways may meet
//! the event, and only one registration stays.
//!
//! The order of writes is that of [`jobs::function::Names`]: a name is claimed before the registration says that it
//! has it, and left after the registration says otherwise. A crash in between leaves an entry that no registration
//! agrees with. It gives nobody anything, because look-ups ask the registration, and the reconcile leader settles it.

use jiff::Timestamp;
use jobs::{
    FunctionName, Repo, Stored,
    bucket::BucketError,
    function::{BadFunctionName, FormerName},
};

use crate::{error::ApiError, repos::Registrations};

mod reconcile;

pub(crate) use reconcile::NameRounds;

/// The name that a request gives.
fn given(text: &str) -> Result<FunctionName, ApiError> {
    FunctionName::of_repository(text)
        .map_err(|error: BadFunctionName| ApiError::BadRequest(format!("function: {error}")))
}

fn name_of(repo: &Repo) -> Option<&FunctionName> {
    repo.function.as_ref().and_then(Stored::get)
}

impl Registrations {
    /// Claims the name of a new registration: the given one, else one made from its URL.
    pub(super) async fn name_new(&self, repo: &mut Repo, wanted: Option<&str>) -> Result<(), ApiError> {
        let name = match wanted {
            Some(text) => self.claim_given(repo, text).await?,
            None => {
                let segment = repo.url.get().map(|url| url.last_segment()).unwrap_or_default();
                self.ledger.names.claim_first(&segment, repo.id, repo.owner).await?
            }
        };
        repo.function = Some(name.into());
        Ok(())
    }

    /// Writes a new registration; its name is free again where that was refused.
    pub(super) async fn create_named(&self, repo: &Repo) -> Result<(), ApiError> {
        let written = self.ledger.repos.create(&repo.id.to_string(), repo).await;
        self.keep_name_if_written(repo, written.map(|_| ())).await
    }

    /// Writes a registration that may have another name, which is free again where that was refused.
    pub(super) async fn update_named(
        &self,
        repo: &Repo,
        revision: u64,
        former: Option<&FunctionName>,
    ) -> Result<(), ApiError> {
        let written = self.ledger.repos.update(&repo.id.to_string(), repo, revision).await.map(|_| ());
        match former {
            None => Ok(written?),
            Some(former) => {
                self.keep_name_if_written(repo, written).await?;
                self.leave_renamed(former, repo).await
            }
        }
    }

    /// Without an answer the registration may have been written, and the name stays claimed; if it was not, the
    /// reconcile leader frees the name.
    async fn keep_name_if_written(
        &self,
        repo: &Repo,
        written: Result<(), BucketError>,
    ) -> Result<(), ApiError> {
        if let Err(BucketError::Conflict { .. } | BucketError::Full { .. }) = &written {
            self.give_name_back(repo).await;
        }
        Ok(written?)
    }

    async fn claim_given(&self, repo: &Repo, text: &str) -> Result<FunctionName, ApiError> {
        let name = given(text)?;
        match self.ledger.names.claim(&name, repo.id, repo.owner).await? {
            true => Ok(name),
            false => Err(ApiError::Conflict(format!("function: the name {name} is taken"))),
        }
    }

    /// Claims another name for a registration, and returns the former one; `None`: it stays as it is.
    pub(super) async fn rename_function(
        &self,
        repo: &mut Repo,
        wanted: Option<&str>,
    ) -> Result<Option<FunctionName>, ApiError> {
        let Some(text) = wanted else { return Ok(None) };
        if repo.function.as_ref().is_some_and(|name| name.as_str() == text) {
            return Ok(None);
        }
        let name = self.claim_given(repo, text).await?;
        let former = name_of(repo).cloned();
        repo.function = Some(name.into());
        Ok(former)
    }

    /// Lets a former name lead to the registration.
    async fn leave_renamed(&self, former: &FunctionName, repo: &Repo) -> Result<(), ApiError> {
        let Some(to) = repo.function.clone() else { return Ok(()) };
        let why = FormerName::Renamed { to, at: Timestamp::now() };
        Ok(self.ledger.names.leave(former, repo.id, repo.owner, why).await?)
    }

    /// Keeps the name of a registration that is removed for its owner.
    pub(super) async fn leave_name(&self, repo: &Repo) -> Result<(), ApiError> {
        let Some(name) = name_of(repo) else { return Ok(()) };
        let why = FormerName::Removed { at: Timestamp::now() };
        Ok(self.ledger.names.leave(name, repo.id, repo.owner, why).await?)
    }

    /// Frees a name that was claimed and not used; if that fails, the reconcile leader does it.
    pub(super) async fn give_name_back(&self, repo: &Repo) {
        let Some(name) = name_of(repo) else { return };
        if let Err(error) = self.ledger.names.give_back(name, repo.id).await {
            tracing::warn!(function = %name, %error, "name not given back");
        }
    }
}

fn has_name(repo: &Repo, name: &str) -> bool {
    repo.function.as_ref().is_some_and(|function| function.as_str() == name)
}
