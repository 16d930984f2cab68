//! Who may look at a repository's jobs without owning it.
//!
//! An owner names users by their id, or invites an address. Whether an address is anybody's is not asked
//! when it is invited, nor told when it is shown: whoever proves it by signing in is a viewer from then on,
//! as long as it is on the list.

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

/// Whom a list names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Viewers {
    pub(crate) viewers: Vec<UserId>,
    /// In lower case.
    pub(crate) invited: Vec<String>,
}

/// What one word of a list is.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Id(UserId),
    Address(String),
}

impl Word {
    fn read(word: &str) -> Result<Self, ApiError> {
        if let Ok(id) = word.parse() {
            return Ok(Self::Id(id));
        }
        let sound = word.len() <= MAX_ADDRESS_BYTES && !word.contains(|c: char| c.is_control() || c == ' ');
        match word.rsplit_once('@') {
            Some((name, host)) if sound && !name.is_empty() && !host.is_empty() => {
                Ok(Self::Address(word.to_ascii_lowercase()))
            }
            Some(_) | None => {
                // What was named is shown again as it came, and may be anything.
                let named: String = word.chars().filter(|c| !c.is_control()).take(200).collect();
                Err(ApiError::BadRequest(format!("viewers: {named} is neither an address nor a user's id")))
            }
        }
    }
}

impl Registrations {
    /// The users and addresses that these words name.
    pub(crate) async fn viewers_named(&self, words: &[String]) -> Result<Viewers, ApiError> {
        if words.len() > MAX_VIEWERS {
            return Err(ApiError::BadRequest(format!("viewers: more than {MAX_VIEWERS}")));
        }
        let mut named = Viewers::default();
        for word in words {
            match Word::read(word.trim())? {
                Word::Id(id) => add(&mut named.viewers, self.user_with(id).await?),
                Word::Address(address) => add(&mut named.invited, address),
            }
        }
        Ok(named)
    }

    /// An id, if it is a user's. It is told by the user alone, so that it is known is no secret.
    async fn user_with(&self, id: UserId) -> Result<UserId, ApiError> {
        let is_meant = |user: &User| user.kind == OwnerKind::User && user.id == id;
        if self.users.find(is_meant).is_empty() {
            // Made a moment ago.
            let made = self.ledger.accounts.users.get(&id.to_string()).await?;
            if !made.is_some_and(|entry| is_meant(&entry.value)) {
                return Err(ApiError::BadRequest(format!("viewers: there is no user {id}")));
            }
        }
        Ok(id)
    }

    /// Viewers as they are shown.
    pub(crate) fn viewers_shown(&self, repo: &Repo) -> Vec<Viewer> {
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
    fn addresses_that_can_be_invited(word: &str) -> Option<String> {
        match Word::read(word).ok()? {
            Word::Address(address) => Some(address),
            Word::Id(_) => panic!("no id"),
        }
    }

    #[test]
    fn an_id_is_an_id_and_what_is_too_long_is_nothing() {
        let id = UserId::new();
        assert_eq!(Word::read(&id.to_string()).ok(), Some(Word::Id(id)));
        let long = |bytes: usize| format!("{}@example.com", "x".repeat(bytes - "@example.com".len()));
        assert!(Word::read(&long(MAX_ADDRESS_BYTES)).is_ok());
        assert!(Word::read(&long(MAX_ADDRESS_BYTES + 1)).is_err());
    }
}
