//! Sign-ins that last: a browser's, or that of a program with a refresh token.
//!
//! Only hashes are stored, so a copy of the ledger lets nobody in. A refresh token works once: the next
//! one comes with its answer, and one that comes again ends the whole session, because then two hold
//! what one should (RFC 9700, section 4.14.2). What is deleted here is refused by every gateway with
//! the next request.

use async_nats::jetstream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Secret, SessionId, TokenId, UserId,
    accounts::{Scope, token_hash},
    bucket::{Bucket, BucketError, Entry},
    streams,
};

/// What every refresh token begins with.
pub const REFRESH_PREFIX: &str = "gfr_";
/// What the value of every session cookie begins with.
pub const COOKIE_PREFIX: &str = "gfs_";
/// A browser signs in again after this long, used or not.
pub const BROWSER_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A program signs in again when it did not refresh for this long; the bucket keeps no entry longer.
pub const PROGRAM_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Who holds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A cookie.
    Browser,
    /// A refresh token, renewed with every use.
    Program,
}

/// What let somebody in, by the list of who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdmittedBy {
    /// An address that the provider verified.
    Address(String),
    /// A GitHub organisation that the user was a member of, in lower case.
    Org(String),
}

/// `sessions/<id>`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id, also the key.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Who holds it.
    pub holder: Holder,
    /// SHA-256, in hex, of the cookie's value or of the refresh token that is good now.
    pub hash: String,
    /// What its tokens may be used for.
    pub scopes: Vec<Scope>,
    /// How the user signed in: an issuer's address, `github.com`, or `device`.
    pub provider: String,
    /// Absent where an API token began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_in: Option<AdmittedBy>,
    /// By the gateway's clock.
    pub expires_at: Timestamp,
    /// However often it is renewed; absent where no API token limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The API tokens that it ends with, because one said yes to it. Empty where a person did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_by: Vec<TokenId>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a session is to be.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Whose.
    pub user: UserId,
    /// Who will hold it.
    pub holder: Holder,
    /// What for.
    pub scopes: Vec<Scope>,
    /// How the user signed in.
    pub provider: &'a str,
    /// What admitted the user.
    pub let_in: Option<AdmittedBy>,
    /// For how long.
    pub life: SignedDuration,
    /// Not beyond this, however often it is renewed.
    pub until: Option<Timestamp>,
    /// The API tokens that it ends with.
    pub made_by: Vec<TokenId>,
}

impl Session {
    /// Good for so long from now on, and not beyond what limits it.
    fn lasting(self, life: SignedDuration) -> Self {
        let ends = Timestamp::now() + life;
        Self { expires_at: self.until.map_or(ends, |until| ends.min(until)), ..self }
    }
}

/// How an attempt to refresh ended.
#[derive(Debug)]
pub enum Refreshed {
    /// Its next token, told once.
    Fresh(Box<Session>, Secret),
    /// It was used before: the session is over.
    Reused(UserId),
    /// No such session, or it has ended.
    Unknown,
}

/// All sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    bucket: Bucket<Session>,
}

/// The session that a cookie's value or a refresh token names.
pub fn session_id(prefix: &str, text: &str) -> Option<SessionId> {
    let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
    let bytes: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
    (!secret.is_empty()).then(|| SessionId::from_bytes(bytes))
}

fn text(holder: Holder, id: SessionId) -> String {
    let prefix = match holder {
        Holder::Browser => COOKIE_PREFIX,
        Holder::Program => REFRESH_PREFIX,
    };
    format!("{prefix}{}_{}", hex::encode(id.as_bytes()), hex::encode(rand::random::<[u8; 32]>()))
}

fn secret(text: String) -> Secret {
    text.parse().expect("a prefix is not empty")
}

impl Sessions {
    /// The bucket, which must have been made.
    ///
    /// # Errors
    /// NATS refuses.
    pub async fn open(js: &jetstream::Context) -> Result<Self, BucketError> {
        Ok(Self { bucket: Bucket::open(js, streams::SESSIONS).await? })
    }

    /// Makes a session; the text it is held by is returned once and stored nowhere.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn begin(&self, new: NewSession<'_>) -> Result<(Session, Secret), BucketError> {
        let id = SessionId::new();
        let text = text(new.holder, id);
        let session = Session {
            id,
            user: new.user,
            holder: new.holder,
            hash: token_hash(&text),
            scopes: new.scopes,
            provider: new.provider.to_owned(),
            let_in: new.let_in,
            expires_at: Timestamp::UNIX_EPOCH,
            until: new.until,
            made_by: new.made_by,
            other: Map::new(),
        };
        let session = session.lasting(new.life);
        self.bucket.create(&id.to_string(), &session).await?;
        Ok((session, secret(text)))
    }

    /// A session that has not ended.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn get(&self, id: SessionId) -> Result<Option<Session>, BucketError> {
        Ok(self.live(id).await?.map(|entry| entry.value))
    }

    async fn live(&self, id: SessionId) -> Result<Option<Entry<Session>>, BucketError> {
        let found = self.bucket.get(&id.to_string()).await?;
        Ok(found.filter(|entry| entry.value.expires_at > Timestamp::now()))
    }

    /// The session that a browser's cookie holds.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn of_cookie(&self, text: &str) -> Result<Option<Session>, BucketError> {
        let Some(id) = session_id(COOKIE_PREFIX, text) else { return Ok(None) };
        let held = |session: &Session| session.holder == Holder::Browser && session.hash == token_hash(text);
        Ok(self.get(id).await?.filter(held))
    }

    /// Takes a refresh token and gives the next one. Of two at once with the same token one is reuse.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn refresh(&self, given: &str) -> Result<Refreshed, BucketError> {
        let Some(id) = session_id(REFRESH_PREFIX, given) else { return Ok(Refreshed::Unknown) };
        let Some(entry) = self.live(id).await? else { return Ok(Refreshed::Unknown) };
        if entry.value.holder != Holder::Program {
            return Ok(Refreshed::Unknown);
        }
        let next = text(Holder::Program, id);
        let session = Session { hash: token_hash(&next), ..entry.value.clone() }.lasting(PROGRAM_LIFE);
        // Hashes are compared, so the time this takes tells nothing of the token.
        let is_current = entry.value.hash == token_hash(given);
        let stored = match is_current {
            true => self.bucket.update(&entry.key, &session, entry.revision).await,
            false => Err(BucketError::Conflict { key: entry.key }),
        };
        match stored {
            Ok(_) => Ok(Refreshed::Fresh(Box::new(session), secret(next))),
            Err(error) if error.is_conflict() => {
                self.end(id).await?;
                Ok(Refreshed::Reused(entry.value.user))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a session, whoever renewed it meanwhile.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn end(&self, id: SessionId) -> Result<(), BucketError> {
        loop {
            let Some(entry) = self.bucket.get(&id.to_string()).await? else { return Ok(()) };
            match self.bucket.delete(&entry.key, entry.revision).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_session_names_it_and_nothing_else_does() {
        let id = SessionId::new();
        let cookie = text(Holder::Browser, id);
        assert_eq!(session_id(COOKIE_PREFIX, &cookie), Some(id));
        assert_eq!(session_id(REFRESH_PREFIX, &cookie), None);
        for nonsense in ["", "gfs_", "gfs_12_ab", "gfs_zz_ab", "gft_0_0"] {
            assert_eq!(session_id(COOKIE_PREFIX, nonsense), None, "{nonsense}");
        }
    }
}
