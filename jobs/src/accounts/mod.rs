//! Owners, how they are recognised, and their API tokens.
//!
//! An owner is known by id alone; a provider's subject leads to it through `identities`. A token is
//! stored as its hash, so a copy of the ledger lets nobody in.

mod given;
mod token;
mod user;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    Secret, TokenId, UserId,
    bucket::{Bucket, BucketError, Entry},
    usage::Overrides,
};

pub use token::{
    ALL_SCOPES, InvalidBinding, NewToken, Scope, TOKEN_PREFIX, TokenRecord, token_hash, token_id,
};
pub use user::{OwnerKind, User};

/// The provider of identities that an operator made by hand.
pub const OPERATOR: &str = "operator";

/// `identities/<sha256(provider, subject)>`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Who that is here.
    pub user: UserId,
    /// Such as `operator`, or an issuer's address.
    pub provider: String,
    /// What the provider calls the person.
    pub subject: String,
    /// Of an operator's identity: the key of the one that took the user over, at its first sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<String>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How [`Accounts::link`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It leads to the user from now on.
    Now,
    /// It did already.
    Before,
    /// It leads to somebody else, and still does.
    ToAnother,
}

/// Users, identities and tokens.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// By id.
    pub users: Bucket<User>,
    /// By provider and subject.
    pub identities: Bucket<Identity>,
    /// By id.
    pub tokens: Bucket<TokenRecord>,
}

fn identity_key(provider: &str, subject: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(provider.as_bytes());
    hash.update([0]);
    hash.update(subject.as_bytes());
    hex::encode(hash.finalize())
}

impl Accounts {
    /// The user with this identity.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn find(&self, provider: &str, subject: &str) -> Result<Option<Entry<User>>, BucketError> {
        let Some(identity) = self.identities.get(&identity_key(provider, subject)).await? else {
            return Ok(None);
        };
        self.users.get(&identity.value.user.to_string()).await
    }

    /// Finds the user with this identity, or makes one. The user is written before the identity,
    /// so that an identity never leads nowhere; of two that are made at once, the first stays.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn find_or_make(
        &self,
        provider: &str,
        subject: &str,
        email: &str,
        kind: OwnerKind,
    ) -> Result<Entry<User>, BucketError> {
        if let Some(user) = self.find(provider, subject).await? {
            return Ok(user);
        }
        let user = User {
            id: UserId::new(),
            kind,
            email: email.to_owned(),
            verified: BTreeMap::new(),
            admin: false,
            labels: Vec::new(),
            limits: Overrides::new(),
            other: Map::new(),
        };
        self.users.create(&user.id.to_string(), &user).await?;
        let identity = Identity {
            user: user.id,
            provider: provider.to_owned(),
            subject: subject.to_owned(),
            taken_by: None,
            other: Map::new(),
        };
        match self.identities.create(&identity_key(provider, subject), &identity).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        self.find(provider, subject).await?.ok_or(BucketError::Conflict { key: user.id.to_string() })
    }

    /// The user whom an operator made by hand for this address, if this identity is the one that takes
    /// that user over: the first that asks, once. Whoever asks must have had the address verified.
    ///
    /// The operator's identity is marked before the new one is made, so that of two at once one wins,
    /// and who broke off in between gets the same answer again.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn take_over(
        &self,
        provider: &str,
        subject: &str,
        email: &str,
    ) -> Result<Option<Entry<User>>, BucketError> {
        let taker = identity_key(provider, subject);
        let free = |entry: &Entry<Identity>| {
            let mark = || Identity { taken_by: Some(taker.clone()), ..entry.value.clone() };
            entry.value.taken_by.is_none().then(mark)
        };
        let operators = identity_key(OPERATOR, &email.to_lowercase());
        let Some(entry) = self.identities.change(&operators, free).await? else { return Ok(None) };
        if entry.value.taken_by.as_ref() != Some(&taker) {
            return Ok(None);
        }
        match self.link(provider, subject, entry.value.user).await? {
            Linked::Now | Linked::Before => self.users.get(&entry.value.user.to_string()).await,
            Linked::ToAnother => Ok(None),
        }
    }

    /// Lets a further identity lead to a user.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn link(&self, provider: &str, subject: &str, user: UserId) -> Result<Linked, BucketError> {
        let identity = Identity {
            user,
            provider: provider.to_owned(),
            subject: subject.to_owned(),
            taken_by: None,
            other: Map::new(),
        };
        match self.identities.create(&identity_key(provider, subject), &identity).await {
            Ok(_) => Ok(Linked::Now),
            Err(error) if error.is_conflict() => {
                let found = self.find(provider, subject).await?;
                let same = found.is_some_and(|entry| entry.value.id == user);
                Ok(if same { Linked::Before } else { Linked::ToAnother })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an admin of a user.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn make_admin(&self, user: UserId) -> Result<(), BucketError> {
        let admin =
            |entry: &Entry<User>| (!entry.value.admin).then(|| User { admin: true, ..entry.value.clone() });
        self.users.change(&user.to_string(), admin).await.map(|_| ())
    }

    /// Makes a token that no other one made; its text is returned once and stored nowhere.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn make_token(
        &self,
        user: UserId,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenRecord, Secret), BucketError> {
        let id = TokenId::new();
        self.mint(&NewToken { id, user, name, scopes, functions: None, expires_at, made_by: &[] }).await
    }

    /// Makes a token; its text is returned once and stored nowhere.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn mint(&self, new: &NewToken<'_>) -> Result<(TokenRecord, Secret), BucketError> {
        let id = new.id;
        let text = format!(
            "{TOKEN_PREFIX}{}_{}",
            hex::encode(id.as_bytes()),
            hex::encode(rand::random::<[u8; 20]>())
        );
        let record = TokenRecord {
            id,
            user: new.user,
            name: new.name.to_owned(),
            hash: token_hash(&text),
            scopes: new.scopes.to_vec(),
            functions: new.functions.map(<[_]>::to_vec),
            expires_at: new.expires_at,
            last_used_at: None,
            made_by: new.made_by.to_vec(),
            other: Map::new(),
        };
        self.tokens.create(&id.to_string(), &record).await?;
        Ok((record, text.parse().expect("a token is not empty")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_and_subject_cannot_be_mixed_up() {
        assert_ne!(identity_key("a", "bc"), identity_key("ab", "c"));
    }
}
