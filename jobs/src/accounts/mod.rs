//! Owners, how they are recognised, and their API tokens.
//!
//! An owner is known by id alone; a provider's subject leads to it through `identities`. A token is
//! stored as its hash, so a copy of the ledger lets nobody in.

mod given;
mod user;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    Secret, TokenId, UserId,
    bucket::{Bucket, BucketError, Entry},
    usage::Overrides,
};

pub use user::{OwnerKind, User};

/// The provider of identities that an operator made by hand.
pub const OPERATOR: &str = "operator";
/// What every API token begins with, so that scanners find one that leaked.
pub const TOKEN_PREFIX: &str = "gft_";
/// How exactly it is known when a token was used: one write an hour is all that a busy one costs.
const USE_IS_NOTED_EVERY: SignedDuration = SignedDuration::from_hours(1);

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

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Read jobs, results and logs.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Submit, cancel and rerun.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Register and change repositories.
    #[serde(rename = "repos")]
    Repos,
    /// What an admin may; of use to admins alone.
    #[serde(rename = "admin")]
    Admin,
}

/// All scopes, which a token has unless it was narrowed.
pub const ALL_SCOPES: [Scope; 4] = [Scope::JobsRead, Scope::JobsWrite, Scope::Repos, Scope::Admin];

impl Scope {
    /// As it is written in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::Repos => "repos",
            Self::Admin => "admin",
        }
    }
}

/// A stored API token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id, also the key.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of the whole token, in hex.
    pub hash: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// By the gateway's clock; absent means it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// By the gateway's clock, an hour late at most; absent means that it was never used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The token that made it and, before that one, the tokens that it came from: where one of them is
    /// gone, it is good for nothing. Empty where a person or an operator made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_by: Vec<TokenId>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl TokenRecord {
    /// When it was made, which its id tells to the millisecond.
    pub fn made_at(&self) -> Timestamp {
        let bytes = self.id.as_bytes();
        let ms = bytes[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte));
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Whether a use at this time is worth a write.
    pub fn notes_use_at(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.duration_since(last) >= USE_IS_NOTED_EVERY)
    }
}

/// What a token is to be.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Its id.
    pub id: TokenId,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: &'a str,
    /// What for.
    pub scopes: &'a [Scope],
    /// Until when; `None` is until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// The tokens that it does not outlive, its maker last.
    pub made_by: &'a [TokenId],
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

/// A token's text names its id, so that checking one is one read.
pub fn token_id(token: &str) -> Option<TokenId> {
    let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let bytes: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
    (!secret.is_empty()).then(|| TokenId::from_bytes(bytes))
}

/// What is stored of a token.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
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
        self.mint(&NewToken { id: TokenId::new(), user, name, scopes, expires_at, made_by: &[] }).await
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
    fn a_token_names_its_id_and_nonsense_names_none() {
        let id = TokenId::new();
        assert_eq!(token_id(&format!("gft_{}_abc", hex::encode(id.as_bytes()))), Some(id));
        for nonsense in ["", "gft_", "gft_12_ab", "ghp_0000", "gft_zz_ab"] {
            assert_eq!(token_id(nonsense), None, "{nonsense}");
        }
    }

    fn token(last_used_at: Option<Timestamp>) -> TokenRecord {
        TokenRecord {
            id: TokenId::new(),
            user: UserId::new(),
            name: String::new(),
            hash: String::new(),
            scopes: Vec::new(),
            expires_at: None,
            last_used_at,
            made_by: Vec::new(),
            other: Map::new(),
        }
    }

    #[test]
    fn a_use_is_noted_once_an_hour_and_a_clock_that_goes_back_writes_nothing() {
        let now = Timestamp::now();
        assert!(token(None).notes_use_at(now));
        let used = |minutes| token(Some(now - SignedDuration::from_mins(minutes))).notes_use_at(now);
        assert_eq!([-5, 0, 59, 60, 61].map(used), [false, false, false, true, true]);
    }

    #[test]
    fn scopes_are_written_as_they_are_called() {
        let words = ALL_SCOPES.map(|scope| serde_json::to_value(scope).unwrap());
        assert_eq!(words, ALL_SCOPES.map(|scope| Value::from(scope.as_str())));
    }

    #[test]
    fn a_token_knows_when_it_was_made() {
        let made_at = token(None).made_at();
        assert!(Timestamp::now().duration_since(made_at).abs() < SignedDuration::from_mins(1), "{made_at}");
    }

    #[test]
    fn provider_and_subject_cannot_be_mixed_up() {
        assert_ne!(identity_key("a", "bc"), identity_key("ab", "c"));
    }
}
