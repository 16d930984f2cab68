//! From a name to the repository that is called by it.
//!
//! A look-up is one read at the leader, so that it may stand beside the look-up of a caller's token. What it says
//! is settled by the registration, which is read next in any case: a crash may leave an entry that its registration
//! does not agree with ([`NameTarget::settled`]). Whether the caller may know of the repository is decided first;
//! a name of one that the caller may not know of is answered as an unknown name.

use jiff::Timestamp;

use super::{FormerName, FunctionName, NameEntry, Names};
use crate::{Repo, RepoId, Stored, bucket::BucketError};

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameTarget {
    /// A registered repository.
    Live(RepoId),
    /// A repository that has another name now.
    Renamed {
        /// The repository.
        repo: RepoId,
        /// Its name.
        to: FunctionName,
    },
}

impl NameTarget {
    /// What an entry leads to: one that was removed, or renamed too long ago, to nothing.
    fn of(entry: &NameEntry, now: Timestamp) -> Option<Self> {
        match &entry.former {
            None => Some(Self::Live(entry.repo)),
            Some(FormerName::Renamed { to, .. }) if !entry.is_free(now) => {
                Some(Self::Renamed { repo: entry.repo, to: to.get()?.clone() })
            }
            Some(FormerName::Renamed { .. } | FormerName::Removed { .. }) => None,
        }
    }

    /// The repository.
    pub fn repo(&self) -> RepoId {
        match self {
            Self::Live(repo) | Self::Renamed { repo, .. } => *repo,
        }
    }

    /// What the name leads to by what the registration says, which is always right: to it, to the name that it has
    /// now, or to nothing while it is being removed.
    pub fn settled(name: &FunctionName, registration: &Repo) -> Option<Self> {
        let function = registration.function.as_ref().and_then(Stored::get)?;
        match (registration.is_removing(), function == name) {
            (true, _) => None,
            (false, true) => Some(Self::Live(registration.id)),
            (false, false) => Some(Self::Renamed { repo: registration.id, to: function.clone() }),
        }
    }
}

impl Names {
    /// What a name leads to by its entry alone; see [`NameTarget::settled`].
    ///
    /// # Errors
    /// NATS is away.
    pub async fn lookup(&self, name: &FunctionName) -> Result<Option<NameTarget>, BucketError> {
        let entry = self.get(name).await?;
        Ok(entry.and_then(|entry| NameTarget::of(&entry.value, Timestamp::now())))
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::UserId;

    fn entry(former: Option<FormerName>) -> NameEntry {
        NameEntry { former, ..NameEntry::of(RepoId::new(), UserId::new(), Timestamp::UNIX_EPOCH) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test_case(None => Some(None) ; "in use")]
    #[test_case(Some(FormerName::Renamed { to: "tau".into(), at: at("2026-01-31T00:00:01Z") }) => Some(Some("tau".to_owned())) ; "renamed not 30 days ago")]
    #[test_case(Some(FormerName::Renamed { to: "tau".into(), at: at("2026-01-31T00:00:00Z") }) => None ; "renamed 30 days ago")]
    #[test_case(Some(FormerName::Renamed { to: "T A U".into(), at: at("2026-03-01T00:00:00Z") }) => None ; "to what is no name any more")]
    #[test_case(Some(FormerName::Removed { at: at("2026-03-01T00:00:00Z") }) => None ; "removed")]
    fn leads_to(former: Option<FormerName>) -> Option<Option<String>> {
        let entry = entry(former);
        let target = NameTarget::of(&entry, at("2026-03-02T00:00:00Z"))?;
        assert_eq!(target.repo(), entry.repo);
        match target {
            NameTarget::Live(_) => Some(None),
            NameTarget::Renamed { to, .. } => Some(Some(to.to_string())),
        }
    }
}
