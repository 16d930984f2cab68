//! An owner of jobs and repositories: a person or a machine, and which addresses are proved to be theirs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Accounts;
use crate::{
    Label, UserId,
    bucket::{BucketError, Entry},
    usage::Overrides,
};

/// Person or machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A person.
    User,
    /// An installation of the GitHub App.
    Installation,
}

/// An owner of jobs and repositories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its id, also the key.
    pub id: UserId,
    /// Person or machine.
    pub kind: OwnerKind,
    /// Shown to people; identity is the id.
    pub email: String,
    /// By provider, the address that it vouched for at the last sign-in there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verified: BTreeMap<String, String>,
    /// May see and do everything.
    #[serde(default)]
    pub admin: bool,
    /// Labels besides `default` that it was given; an admin needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// Limits of its own, in place of the installation's.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub limits: Overrides,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl User {
    /// The addresses that are proved to be this user's: those that providers vouched for; of one who has not
    /// signed in since they are kept, the address that the operator or the first sign-in gave. A machine
    /// has none.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let first = self.verified.is_empty().then_some(&self.email);
        let all = self.verified.values().chain(first);
        all.filter(|_| self.kind == OwnerKind::User).map(String::as_str)
    }
}

impl Accounts {
    /// Keeps the address that a provider vouches for at a sign-in, in place of the one from before. The user
    /// as it is then; `None` where there is none.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn keep_address(
        &self,
        user: UserId,
        provider: &str,
        address: &str,
    ) -> Result<Option<Entry<User>>, BucketError> {
        let kept = |entry: &Entry<User>| {
            let user = &entry.value;
            let is_known = user.verified.get(provider).is_some_and(|known| known == address);
            (!is_known).then(|| {
                let mut verified = user.verified.clone();
                verified.insert(provider.to_owned(), address.to_owned());
                User { verified, ..user.clone() }
            })
        };
        self.users.change(&user.to_string(), kept).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_user_are_those_that_were_proved() {
        let user = |kind, verified: &[(&str, &str)]| User {
            id: UserId::new(),
            kind,
            email: "first@example.com".to_owned(),
            verified: verified.iter().map(|(at, address)| ((*at).into(), (*address).into())).collect(),
            admin: false,
            labels: Vec::new(),
            limits: Overrides::new(),
            other: Map::new(),
        };
        let addresses = |user: User| user.addresses().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(addresses(user(OwnerKind::User, &[])), ["first@example.com"]);
        let later = [("github.com", "b@example.com"), ("https://issuer", "a@example.com")];
        assert_eq!(addresses(user(OwnerKind::User, &later)), ["b@example.com", "a@example.com"]);
        assert_eq!(addresses(user(OwnerKind::Installation, &[])), Vec::<String>::new());
    }
}
