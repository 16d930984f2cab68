//! Signing in on another device (RFC 8628): a program shows a code, a person who is signed in says yes.
//!
//! `logins/device.<sha256(device code)>` is the request, `logins/code.<user code>` leads to it; the
//! device code itself is stored nowhere. How many wait is bounded (`open.rs`). A yes is used up by compare-and-set before a session begins,
//! so one yes makes one session over all gateways.

pub(crate) mod open;
pub(crate) mod pace;

use std::time::Instant;

use async_nats::jetstream;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    TokenId, UserId,
    accounts::{Scope, token_hash},
    bucket::{Bucket, BucketError, Entry, purge_key},
    sessions::LetIn,
    streams,
};
use open::{Given, Open};
use pace::Polls;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::rate_limit::Slot;

/// How long a code is good for: RFC 8628 has 1800 s in its example; ours is typed at once.
pub(crate) const LIFE: SignedDuration = SignedDuration::from_mins(15);
/// Letters of a user code (RFC 8628, section 6.1): no vowels, so no words; none that look alike.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// 20^8: with 15 minutes, and only for who is signed in, nobody guesses one.
const CODE_LENGTH: usize = 8;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Waiting,
    Allowed,
    Denied,
    /// Its tokens were fetched.
    Used,
}

/// `logins/device.<sha256(device code)>`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) answer: Answer,
    /// Who said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    /// Of the sign-in that said yes.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    /// What let that one in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) let_in: Option<LetIn>,
    /// Where an API token said yes: what the sign-in ends with, and when at the latest.
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

/// All requests of devices.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) js: jetstream::Context,
    pub(crate) requests: Bucket<Request>,
    pub(crate) codes: Bucket<Code>,
    pub(crate) polls: Polls,
    pub(crate) open: Open,
}

/// A request as its device is told of it.
pub(crate) struct Begun {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

pub(crate) fn request_key(device_code: &str) -> String {
    format!("device.{}", token_hash(device_code))
}

/// A code for people: eight letters with a dash in the middle.
fn user_code() -> String {
    let mut rng = rand::rng();
    let mut code: String =
        (0..CODE_LENGTH).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect();
    code.insert(CODE_LENGTH / 2, '-');
    code
}

/// What somebody typed, as we write codes: case, dashes and spaces do not matter.
pub(crate) fn normal(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).collect();
    let sound = letters.len() == CODE_LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
    sound.then(|| format!("{}-{}", &letters[..CODE_LENGTH / 2], &letters[CODE_LENGTH / 2..]))
}

impl Devices {
    pub(crate) async fn open(js: &jetstream::Context) -> Result<Self, BucketError> {
        Ok(Self {
            js: js.clone(),
            requests: Bucket::open(js, streams::LOGINS).await?,
            codes: Bucket::open(js, streams::LOGINS).await?,
            polls: Polls::default(),
            open: Open::default(),
        })
    }

    /// Gives a code out to this address, and takes away what makes room for it.
    pub(crate) async fn begin(&self, slot: Slot) -> Result<Begun, BucketError> {
        let device_code = hex::encode(rand::random::<[u8; 32]>());
        let key = request_key(&device_code);
        let request = Request {
            answer: Answer::Waiting,
            user: None,
            scopes: Vec::new(),
            let_in: None,
            made_by: Vec::new(),
            until: None,
            expires_at: Timestamp::now() + LIFE,
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
        let given = Given { slot, keys: [code_key, key], until: now + LIFE.unsigned_abs() };
        self.take_away(self.open.add(given, now)).await;
        Ok(Begun { device_code, user_code })
    }

    /// What cannot be taken away goes with its age.
    pub(crate) async fn take_away(&self, gone: Vec<Given>) {
        let purges =
            gone.iter().flat_map(|given| &given.keys).map(|key| purge_key(&self.js, streams::LOGINS, key));
        for purged in join_all(purges).await {
            if let Err(error) = purged {
                let error: anyhow::Error = error.into();
                tracing::debug!(error = format!("{error:#}"), "a device's code was not taken away");
            }
        }
    }

    /// The request of a code that somebody typed, if it still waits.
    pub(crate) async fn waiting(&self, typed: &str) -> Result<Option<Entry<Request>>, BucketError> {
        let Some(user_code) = normal(typed) else { return Ok(None) };
        let Some(code) = self.codes.get(&format!("code.{user_code}")).await? else { return Ok(None) };
        let found = self.requests.get(&code.value.request).await?;
        Ok(found.filter(|entry| {
            entry.value.answer == Answer::Waiting && entry.value.expires_at > Timestamp::now()
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
        normal(text)
    }

    #[test]
    pub(crate) fn a_code_reads_back() {
        let code = user_code();
        assert_eq!(normal(&code), Some(code));
    }
}
