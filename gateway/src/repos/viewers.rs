//! Viewers of a repository: users that may read its jobs without owning it.
//!
//! An owner names users by id, or invites an e-mail address. Whether an address belongs to an account is
//! neither checked when it is invited nor revealed when it is shown: a user who signs in with a verified
//! address is a viewer from then on, as long as it is on the list.

use jobs::{
    Repo, UserId,
    accounts::{OwnerKind, User},
    api::Viewer,
};

use crate::{error::ApiError, repos::Registrations};

/// Viewers of one repository, by id and by address: a team, not a public.
const MAX_VIEWERS: usize = 100;
/// The longest address, in bytes (RFC 5321, section 4.5.3.1.3, without its brackets).
const MAX_ADDRESS_BYTES: usize = 254;

/// The users and addresses of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Viewers {
    pub(crate) viewers: Vec<UserId>,
    /// In lower case.
    pub(crate) invited: Vec<String>,
}

/// One entry of a list.
#[derive(Debug, PartialEq, Eq)]
enum ViewerEntry {
    Id(UserId),
    Address(String),
}

impl ViewerEntry {
    fn read(text: &str) -> Result<Self, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let sound = text.len() <= MAX_ADDRESS_BYTES && !text.contains(|c: char| c.is_control() || c == ' ');
        match text.rsplit_once('@') {
            Some((name, host)) if sound && !name.is_empty() && !host.is_empty() => {
                Ok(Self::Address(text.to_ascii_lowercase()))
            }
            Some(_) | None => {
                // The entry is echoed, and may hold anything.
                let named: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
                Err(ApiError::BadRequest(format!("viewers: {named} is neither an address nor a user's id")))
            }
        }
    }
}

impl Registrations {
    /// Resolves the entries of a list.
    pub(crate) async fn resolve_viewers(&self, entries: &[String]) -> Result<Viewers, ApiError> {
        if entries.len() > MAX_VIEWERS {
            return Err(ApiError::BadRequest(format!("viewers: more than {MAX_VIEWERS}")));
        }
        let mut named = Viewers::default();
        for text in entries {
            match ViewerEntry::read(text.trim())? {
                ViewerEntry::Id(id) => add(&mut named.viewers, self.existing_user(id).await?),
                ViewerEntry::Address(address) => add(&mut named.invited, address),
            }
        }
        Ok(named)
    }

    /// An id, if a user has it. Users give out their ids themselves, so that its existence is no secret.
    async fn existing_user(&self, id: UserId) -> Result<UserId, ApiError> {
        let is_meant = |user: &User| user.kind == OwnerKind::User && user.id == id;
        if self.users.find(is_meant).is_empty() {
            // Not mirrored yet.
            let made = self.ledger.accounts.users.get(&id.to_string()).await?;
            if !made.is_some_and(|entry| is_meant(&entry.value)) {
                return Err(ApiError::BadRequest(format!("viewers: there is no user {id}")));
            }
        }
        Ok(id)
    }

    /// The viewers of a repository, as the API shows them.
    pub(crate) fn viewer_list(&self, repo: &Repo) -> Vec<Viewer> {
        let by_id = repo.viewers.iter().map(|id| {
            let found = self.users.find(|user| user.id == *id);
            Viewer { id: Some(*id), email: found.first().map(|entry| entry.value.email.clone()) }
        });
        let by_address = repo.invited.iter().map(|email| Viewer { id: None, email: Some(email.clone()) });
        by_id.chain(by_address).collect()
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("Them@Example.COM" => Some("them@example.com".to_owned()))]
    #[test_case("\u{212a}im@example.com" => Some("\u{212a}im@example.com".to_owned()) ; "a letter that only looks like a K")]
    #[test_case("an-org" => None ; "no address")]
    #[test_case("@example.com" => None ; "nobody")]
    #[test_case("them@" => None ; "nowhere")]
    #[test_case("a b@example.com" => None ; "a space")]
    #[test_case("a\n@example.com" => None ; "a line break")]
    #[test_case("" => None ; "nothing")]
    fn addresses_that_can_be_invited(text: &str) -> Option<String> {
        match ViewerEntry::read(text).ok()? {
            ViewerEntry::Address(address) => Some(address),
            ViewerEntry::Id(_) => panic!("no id"),
        }
    }

    #[test]
    fn an_id_is_an_id_and_what_is_too_long_is_nothing() {
        let id = UserId::new();
        assert_eq!(ViewerEntry::read(&id.to_string()).ok(), Some(ViewerEntry::Id(id)));
        let long = |bytes: usize| format!("{}@example.com", "x".repeat(bytes - "@example.com".len()));
        assert!(ViewerEntry::read(&long(MAX_ADDRESS_BYTES)).is_ok());
        assert!(ViewerEntry::read(&long(MAX_ADDRESS_BYTES + 1)).is_err());
    }
}
