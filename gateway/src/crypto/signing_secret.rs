//! The secrets that callers of a function sign with, as senders hand them out.
//!
//! A secret is either `whsec_` and base64 (Standard Webhooks), or any text (`X-Hub-Signature-256`, where the
//! text's bytes are the key).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jobs::{RepoId, Secret};

/// What a secret of Standard Webhooks begins with.
const PREFIX: &str = "whsec_";
/// Length of its key, in bytes: 192 to 512 bits, as Standard Webhooks has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Length of any other secret, in bytes: shorter ones can be guessed, and ids of secrets are shorter.
const TEXT_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// Not a secret to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSigningSecret {
    /// `whsec_` without a key of the right length.
    #[error("whsec_ must be followed by base64 of 24 to 64 bytes")]
    Key,
    /// Too short or too long.
    #[error("must have 16 to 256 bytes")]
    Length,
    /// Such as a line break that was copied along.
    #[error("must not begin or end with a space or hold control characters")]
    Characters,
}

/// The context that a signing secret of this repository is sealed for.
pub(crate) fn context(repo: RepoId, id: &str) -> String {
    format!("{repo}.signing.{id}")
}

/// A secret that a sender handed out.
pub(crate) fn parse(text: &str) -> Result<Secret, InvalidSigningSecret> {
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(InvalidSigningSecret::Characters);
    }
    let secret = text.parse::<Secret>().map_err(|_| InvalidSigningSecret::Length)?;
    if text.starts_with(PREFIX) {
        return key(&secret).map(|_| secret).ok_or(InvalidSigningSecret::Key);
    }
    if TEXT_BYTES.contains(&text.len()) { Ok(secret) } else { Err(InvalidSigningSecret::Length) }
}

/// The key of a secret of Standard Webhooks; `None` of another one.
pub(crate) fn key(secret: &Secret) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" => Ok(Some(24)) ; "as Standard Webhooks writes it")]
    #[test_case("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7o=" => Err(InvalidSigningSecret::Key) ; "23 bytes")]
    #[test_case("whsec_not/base64!" => Err(InvalidSigningSecret::Key) ; "no base64")]
    #[test_case("whsec_" => Err(InvalidSigningSecret::Key) ; "nothing behind it")]
    #[test_case("It's a Secret to Everybody" => Ok(None) ; "any text")]
    #[test_case("hunter2" => Err(InvalidSigningSecret::Length) ; "too short")]
    #[test_case("" => Err(InvalidSigningSecret::Length) ; "empty")]
    #[test_case("0123456789abcdef\n" => Err(InvalidSigningSecret::Characters) ; "a line break")]
    #[test_case(" 0123456789abcdef" => Err(InvalidSigningSecret::Characters) ; "a space before it")]
    fn length_of_key(text: &str) -> Result<Option<usize>, InvalidSigningSecret> {
        parse(text).map(|secret| key(&secret).map(|key| key.len()))
    }

    #[test]
    fn a_text_may_not_be_endless() {
        assert!(parse(&"x".repeat(256)).is_ok());
        assert_eq!(parse(&"x".repeat(257)).err(), Some(InvalidSigningSecret::Length));
    }
}
