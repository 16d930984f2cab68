//! Device authorization (RFC 8628): a program shows a code, a signed-in user approves it.
//!
//! `logins/device.<sha256(device code)>` is the request, `logins/code.<user code>` leads to it; the device
//! code itself is not stored. The number of pending codes is bounded (`pending_codes.rs`). An approval is
//! used up by compare-and-set before a session begins, so one approval makes one session over all gateways.

pub(crate) mod pending_codes;
pub(crate) mod poll_throttle;

use std::time::Instant;

use async_nats::jetstream;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    TokenId, UserId,
    accounts::{Scope, token_hash},
    bucket::{Bucket, BucketError, Entry, purge_key},
    sessions::AdmittedBy,
    streams,
};
use pending_codes::{IssuedCode, PendingCodes};
use poll_throttle::PollThrottle;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::rate_limit::Slot;

/// How long a code is valid: RFC 8628 has 1800 s in its example; these codes are typed at once.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// Letters of a user code (RFC 8628, section 6.1): no vowels, so no words; none that look alike.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// 20^8: in 15 minutes, and only for signed-in users, it cannot be guessed.
const CODE_LENGTH: usize = 8;

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrantState {
    Waiting,
    Allowed,
    Denied,
    /// Its tokens were issued.
    Used,
}

/// `logins/device.<sha256(device code)>`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) answer: GrantState,
    /// The user who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    /// The scopes of the session that approved it.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    /// What admitted that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) let_in: Option<AdmittedBy>,
    /// Where an API token approved it: the tokens that the new session ends with, and when it ends at the
    /// latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) made_by: Vec<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// By the gateway's clock.
    pub(crate) expires_at: Timestamp,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// `logins/code.<user code>`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Code {
    /// The key of the request.
    pub(crate) request: String,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// All device authorization requests.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) js: jetstream::Context,
    pub(crate) requests: Bucket<Request>,
    pub(crate) codes: Bucket<Code>,
    pub(crate) polls: PollThrottle,
    pub(crate) open: PendingCodes,
}

/// The two codes of a request.
pub(crate) struct DeviceAuthorization {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

pub(crate) fn request_key(device_code: &str) -> String {
    format!("device.{}", token_hash(device_code))
}

/// A user code: eight letters with a dash in the middle.
fn user_code() -> String {
    let mut rng = rand::rng();
    let mut code: String =
        (0..CODE_LENGTH).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    code.insert(CODE_LENGTH / 2, '-');
    code
}

/// A typed user code in its stored form: case, dashes and spaces do not matter.
pub(crate) fn normalize_user_code(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).collect();
    let sound = letters.len() == CODE_LENGTH && letters.bytes().all(|letter| ALPHABET.contains(&letter));
    sound.then(|| format!("{}-{}", &letters[..CODE_LENGTH / 2], &letters[CODE_LENGTH / 2..]))
}

impl Devices {
    pub(crate) async fn open(js: &jetstream::Context) -> Result<Self, BucketError> {
        Ok(Self {
            js: js.clone(),
            requests: Bucket::open(js, streams::LOGINS).await?,
            codes: Bucket::open(js, streams::LOGINS).await?,
            polls: PollThrottle::default(),
            open: PendingCodes::default(),
        })
    }

    /// Issues a code to this address, and purges the codes that must go for it.
    pub(crate) async fn begin(&self, slot: Slot) -> Result<DeviceAuthorization, BucketError> {
        let device_code = hex::encode(rand::random::<[u8; 32]>());
        let key = request_key(&device_code);
        let request = Request {
            answer: GrantState::Waiting,
            user: None,
            scopes: Vec::new(),
            let_in: None,
            made_by: Vec::new(),
            until: None,
            expires_at: Timestamp::now() + LIFETIME,
            other: Map::new(),
        };
        self.requests.create(&key, &request).await?;
        let (user_code, code_key) = loop {
            let user_code = user_code();
            let code_key = format!("code.{user_code}");
            let code = Code { request: key.clone(), other: Map::new() };
            match self.codes.create(&code_key, &code).await {
                Ok(_) => break (user_code, code_key),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        };
        let now = Instant::now();
        let issued = IssuedCode { slot, keys: [code_key, key], until: now + LIFETIME.unsigned_abs() };
        self.purge_codes(self.open.add(issued, now)).await;
        Ok(DeviceAuthorization { device_code, user_code })
    }

    /// A code that cannot be purged expires with the bucket's age limit.
    pub(crate) async fn purge_codes(&self, gone: Vec<IssuedCode>) {
        let purges =
            gone.iter().flat_map(|issued| &issued.keys).map(|key| purge_key(&self.js, streams::LOGINS, key));
        for purged in join_all(purges).await {
            if let Err(error) = purged {
                let error: anyhow::Error = error.into();
                tracing::debug!(error = format!("{error:#}"), "device code not purged");
            }
        }
    }

    /// The pending request of a typed user code.
    pub(crate) async fn waiting(&self, typed: &str) -> Result<Option<Entry<Request>>, BucketError> {
        let Some(user_code) = normalize_user_code(typed) else { return Ok(None) };
        let Some(code) = self.codes.get(&format!("code.{user_code}")).await? else { return Ok(None) };
        let found = self.requests.get(&code.value.request).await?;
        Ok(found.filter(|entry| {
            entry.value.answer == GrantState::Waiting && entry.value.expires_at > Timestamp::now()
        }))
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("BCDF-GHJK" => Some("BCDF-GHJK".to_owned()))]
    #[test_case(" bcdf ghjk " => Some("BCDF-GHJK".to_owned()) ; "typed carelessly")]
    #[test_case("BCDFGHJK" => Some("BCDF-GHJK".to_owned()) ; "without a dash")]
    #[test_case("BCDF-GHJ" => None ; "too short")]
    #[test_case("BCDF-GHJKL" => None ; "too long")]
    #[test_case("ABCD-FGHJ" => None ; "a vowel")]
    #[test_case("BCDF.GHJ>" => None ; "no letter")]
    pub(crate) fn what_was_typed(text: &str) -> Option<String> {
        normalize_user_code(text)
    }

    #[test]
    pub(crate) fn a_code_reads_back() {
        let code = user_code();
        assert_eq!(normalize_user_code(&code), Some(code));
    }
}
