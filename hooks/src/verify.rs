//! Verifies that a delivery was signed with the webhook's secret.
//!
//! Nothing parses a body that was not verified: [`crate::incoming::parse`] takes a [`Verified`], and
//! only this file makes one. The signature is over the raw bytes, compared in constant time, and
//! checked before a byte of the body is looked at.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use jobs::{Forge, Secret};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header of GitHub, Gitea, Forgejo and our own `post-receive`.
const SIGNATURE: &str = "x-hub-signature-256";
/// Headers with the same HMAC as bare hex digits: Gitea's, Forgejo's, and that of Gogs, from which both come.
const BARE_SIGNATURES: [&str; 3] = ["x-gitea-signature", "x-forgejo-signature", "x-gogs-signature"];
/// GitHub's older header. It is looked at only to say what is wrong.
const SIGNATURE_SHA1: &str = "x-hub-signature";
/// GitLab sends the secret itself.
const GITLAB_TOKEN: &str = "x-gitlab-token";
/// How a form-encoded delivery begins (GitHub's content type `application/x-www-form-urlencoded`).
const FORM_PREFIX: &[u8] = b"payload=";

/// A body whose sender was verified.
pub struct Verified<'a>(&'a [u8]);

impl<'a> Verified<'a> {
    /// The signed bytes as they came.
    pub fn raw(&self) -> &'a [u8] {
        self.0
    }

    /// The JSON text: the body itself, or the `payload` field of a form, which is told by its first
    /// bytes because no JSON begins like that and the header is not signed.
    pub fn json(&self) -> Cow<'a, [u8]> {
        payload_of_form(self.0).map_or(Cow::Borrowed(self.0), Cow::Owned)
    }
}

/// The decoded `payload` field of a form; `None` when the body is none.
fn payload_of_form(body: &[u8]) -> Option<Vec<u8>> {
    let (_, value) = body.starts_with(FORM_PREFIX).then(|| url::form_urlencoded::parse(body).next())??;
    Some(value.into_owned().into_bytes())
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} bytes)", self.0.len())
    }
}

/// Why a signature is rejected. All of these are answered alike; the difference is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// No signature, or the empty one that Gitea sends when no secret is set.
    #[error("no signature")]
    Missing,
    /// More than one signature: which one a proxy before us looked at cannot be known.
    #[error("more than one signature")]
    Doubled,
    /// Only a SHA-1 signature.
    #[error("the signature is not SHA-256")]
    NotSha256,
    /// Not 64 hex digits.
    #[error("the signature is not 64 hex digits")]
    Malformed,
    /// A signature of other bytes, or with another secret.
    #[error("wrong signature")]
    Wrong,
}

/// Verifies a delivery by the signature or token header of its forge.
pub fn verify_headers<'a>(
    forge: Forge,
    secret: &Secret,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Verified<'a>, BadSignature> {
    match forge {
        Forge::Gitlab => verify_token(secret, headers.get_all(GITLAB_TOKEN), body),
        Forge::Github | Forge::Plain => verify_signatures(secret, &signatures(headers)?, body),
        Forge::Gitea => {
            let signatures = signatures(headers)?;
            match (verify_signatures(secret, &signatures, body), payload_of_form(body)) {
                // Of a form, Gitea and Forgejo sign what is in `payload`, not the body.
                (Err(BadSignature::Wrong), Some(payload)) => {
                    verify_signatures(secret, &signatures, &payload)?;
                    Ok(Verified(body))
                }
                (verified, _) => verified,
            }
        }
    }
}

/// Every signature that a delivery carries, of whichever header: all of them must be good, since which
/// one a proxy before us looked at cannot be known.
fn signatures(headers: &HeaderMap) -> Result<Vec<[u8; 32]>, BadSignature> {
    let mut given = Vec::new();
    if headers.contains_key(SIGNATURE) {
        given.push(prefixed(only(headers.get_all(SIGNATURE))?)?);
    }
    for name in BARE_SIGNATURES.into_iter().filter(|name| headers.contains_key(*name)) {
        given.push(digest(only(headers.get_all(name))?)?);
    }
    match given.is_empty() {
        true if headers.contains_key(SIGNATURE_SHA1) => Err(BadSignature::NotSha256),
        true => Err(BadSignature::Missing),
        false => Ok(given),
    }
}

fn verify_signatures<'a>(
    secret: &Secret,
    signatures: &[[u8; 32]],
    body: &'a [u8],
) -> Result<Verified<'a>, BadSignature> {
    for signature in signatures {
        hmac(secret, body).verify_slice(signature).map_err(|_| BadSignature::Wrong)?;
    }
    Ok(Verified(body))
}

/// Checks the values of `X-Hub-Signature-256` against `body`. There must be exactly one.
pub fn verify<'a, 'h>(
    secret: &Secret,
    signatures: impl IntoIterator<Item = &'h HeaderValue>,
    body: &'a [u8],
) -> Result<Verified<'a>, BadSignature> {
    verify_signatures(secret, &[prefixed(only(signatures)?)?], body)
}

/// The digest in `sha256=<hex>`.
fn prefixed(signature: &[u8]) -> Result<[u8; 32], BadSignature> {
    match signature.strip_prefix(b"sha256=") {
        Some(hex_digits) => digest(hex_digits),
        None if signature.starts_with(b"sha1=") => Err(BadSignature::NotSha256),
        None => Err(BadSignature::Malformed),
    }
}

fn digest(hex_digits: &[u8]) -> Result<[u8; 32], BadSignature> {
    if hex_digits.is_empty() {
        return Err(BadSignature::Missing);
    }
    let mut given = [0; 32];
    hex::decode_to_slice(hex_digits, &mut given).map_err(|_| BadSignature::Malformed)?;
    Ok(given)
}

/// Checks the values of `X-Gitlab-Token` against the secret, of which GitLab signs nothing. There
/// must be exactly one.
pub fn verify_token<'a, 'h>(
    secret: &Secret,
    tokens: impl IntoIterator<Item = &'h HeaderValue>,
    body: &'a [u8],
) -> Result<Verified<'a>, BadSignature> {
    let token = only(tokens)?;
    // Digests are compared, so that the time does not tell the secret's length either.
    let same = Sha256::digest(token).ct_eq(&Sha256::digest(secret.expose()));
    if same.into() { Ok(Verified(body)) } else { Err(BadSignature::Wrong) }
}

/// What a sender puts into `X-Hub-Signature-256`: tests, and the demonstration's small forge.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret, body).finalize().into_bytes()))
}

fn hmac(secret: &Secret, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

fn only<'h>(values: impl IntoIterator<Item = &'h HeaderValue>) -> Result<&'h [u8], BadSignature> {
    let mut values = values.into_iter();
    let value = values.next().ok_or(BadSignature::Missing)?.as_bytes();
    // A proxy may have joined two headers with a comma (RFC 9110, 5.3).
    if values.next().is_some() || value.contains(&b',') {
        return Err(BadSignature::Doubled);
    }
    if value.is_empty() { Err(BadSignature::Missing) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    /// The vector of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const GOOD: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn try_verify(values: &[&str], body: &[u8]) -> Result<(), BadSignature> {
        let values: Vec<HeaderValue> = values.iter().map(|v| v.parse().unwrap()).collect();
        verify(&SECRET.parse().unwrap(), &values, body).map(drop)
    }

    #[test_case(&[GOOD] => Ok(()); "right")]
    #[test_case(&[] => Err(BadSignature::Missing); "missing")]
    #[test_case(&[""] => Err(BadSignature::Missing); "empty")]
    #[test_case(&["sha256="] => Err(BadSignature::Missing); "no secret at Gitea")]
    #[test_case(&[GOOD, GOOD] => Err(BadSignature::Doubled); "twice the same")]
    #[test_case(&["sha256=00", GOOD] => Err(BadSignature::Doubled); "wrong, then right")]
    #[test_case(&["sha256=00,sha256=00"] => Err(BadSignature::Doubled); "joined by a proxy")]
    #[test_case(&["sha1=3dfc15d0ea994eb196950a8f70728f16558de2c7"] => Err(BadSignature::NotSha256); "sha1")]
    #[test_case(&["sha256=757107ea"] => Err(BadSignature::Malformed); "short")]
    #[test_case(&["sha256=zz7107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"] => Err(BadSignature::Malformed); "not hex")]
    #[test_case(&["757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"] => Err(BadSignature::Malformed); "no prefix")]
    #[test_case(&["sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e16"] => Err(BadSignature::Wrong); "last digit")]
    fn signatures(values: &[&str]) -> Result<(), BadSignature> {
        try_verify(values, BODY)
    }

    #[test]
    fn a_signature_of_other_bytes_is_wrong() {
        assert_eq!(try_verify(&[GOOD], b"Hello, World"), Err(BadSignature::Wrong));
    }

    #[test_case(&["hunter2"] => Ok(()); "right")]
    #[test_case(&["hunter"] => Err(BadSignature::Wrong); "shorter")]
    #[test_case(&["hunter22"] => Err(BadSignature::Wrong); "longer")]
    #[test_case(&[""] => Err(BadSignature::Missing); "empty")]
    #[test_case(&[] => Err(BadSignature::Missing); "missing")]
    #[test_case(&["hunter2", "hunter2"] => Err(BadSignature::Doubled); "twice")]
    fn gitlab_tokens(values: &[&str]) -> Result<(), BadSignature> {
        let values: Vec<HeaderValue> = values.iter().map(|v| v.parse().unwrap()).collect();
        verify_token(&"hunter2".parse().unwrap(), &values, BODY).map(drop)
    }

    #[test]
    fn each_forge_has_its_header() {
        let secret: Secret = SECRET.parse().unwrap();
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let signed = headers(&[(SIGNATURE, GOOD)]);
        let token = headers(&[(GITLAB_TOKEN, SECRET)]);
        let sha1 = headers(&[(SIGNATURE_SHA1, "sha1=3dfc15d0ea994eb196950a8f70728f16558de2c7")]);
        let verdict = |forge, headers| verify_headers(forge, &secret, headers, BODY).map(drop);
        for forge in [Forge::Github, Forge::Gitea, Forge::Plain] {
            assert_eq!(verdict(forge, &signed), Ok(()));
            assert_eq!(verdict(forge, &token), Err(BadSignature::Missing));
            assert_eq!(verdict(forge, &sha1), Err(BadSignature::NotSha256));
        }
        assert_eq!(verdict(Forge::Gitlab, &token), Ok(()));
        assert_eq!(verdict(Forge::Gitlab, &signed), Err(BadSignature::Missing));
    }

    #[test]
    fn a_form_is_signed_raw_and_read_decoded() {
        let secret: Secret = SECRET.parse().unwrap();
        let body = b"payload=%7B%22a%22%3A%22b+c%22%7D";
        let signature: HeaderValue = sign(&secret, body).parse().unwrap();
        let verified = verify(&secret, [&signature], body).unwrap();
        assert_eq!(verified.json(), br#"{"a":"b c"}"#.as_slice());
        assert_eq!(verified.raw(), body);
    }

    proptest! {
        #[test]
        fn only_the_signed_bytes_pass(body: Vec<u8>, other: Vec<u8>, key in "[ -~]*[!-~]") {
            let secret: Secret = key.parse().unwrap();
            let signature: HeaderValue = sign(&secret, &body).parse().unwrap();
            prop_assert!(verify(&secret, [&signature], &body).is_ok());
            prop_assert_eq!(verify(&secret, [&signature], &other).is_ok(), body == other);
        }

        #[test]
        fn no_header_panics(value: Vec<u8>, body: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                prop_assert!(verify(&SECRET.parse().unwrap(), [&value], &body).is_err());
            }
        }
    }
}
