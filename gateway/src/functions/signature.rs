//! Verifies that a call was signed with one of the function's secrets.
//!
//! Two schemes: Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), and the older
//! `X-Hub-Signature-256`, which signs the body alone and so neither a time nor an id. Whichever headers are there
//! decide; a call with those of Standard Webhooks is never taken by the other scheme.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hooks::verify;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use jobs::Secret;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::crypto::signing_secret;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
const HUB_SIGNATURE: &str = "x-hub-signature-256";
/// How far a sender's clock may be from ours, in either direction, as Standard Webhooks' libraries have it.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// The longest id of a call, in bytes; those of senders are shorter than 64.
const MAX_ID_BYTES: usize = 256;
/// Signatures in one header: a sender that changes its secret sends two, each in both of the standard's versions.
const MAX_SIGNATURES: usize = 8;

/// Why a signature is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSignature {
    /// Nothing that could be a signature.
    #[error("no signature")]
    Missing,
    /// A header of the scheme is missing, there twice, or not as the scheme writes it.
    #[error("{0}: missing, there twice, or not well formed")]
    Malformed(&'static str),
    /// The time that was signed is more than five minutes from ours: sent again by somebody, or a wrong clock.
    #[error("webhook-timestamp is more than five minutes from this service's clock")]
    Expired,
    /// Of other bytes, or with another secret.
    #[error("wrong signature")]
    Wrong,
}

/// A signature that was verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// What makes the call once, as far as its scheme tells: its id, else the signature itself.
    pub(crate) once: String,
}

/// Whether a call is signed in one of these schemes, rightly or not.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    [ID, TIMESTAMP, SIGNATURE, HUB_SIGNATURE].iter().any(|name| headers.contains_key(*name))
}

/// Verifies a call with whichever of these secrets it was signed with.
pub(crate) fn verify(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, BadSignature> {
    if [ID, TIMESTAMP, SIGNATURE].iter().any(|name| headers.contains_key(*name)) {
        return standard_webhook(secrets, headers, body, now);
    }
    if headers.contains_key(HUB_SIGNATURE) {
        return hub_signature(secrets, headers, body);
    }
    Err(BadSignature::Missing)
}

/// Standard Webhooks 1.0.0: HMAC-SHA256 of `<id>.<timestamp>.<body>`, as `v1,<base64>`, several separated by spaces.
fn standard_webhook(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, BadSignature> {
    let id = only(headers, ID)?;
    // A full stop would let another split of the same signed bytes pass.
    let is_sound = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
    if id.len() > MAX_ID_BYTES || !id.bytes().all(is_sound) {
        return Err(BadSignature::Malformed(ID));
    }
    let timestamp = only(headers, TIMESTAMP)?;
    let seconds =
        timestamp.bytes().all(|byte| byte.is_ascii_digit()).then(|| timestamp.parse().ok()).flatten();
    let sent_at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let sent_at = sent_at.ok_or(BadSignature::Malformed(TIMESTAMP))?;
    let given = signatures(only(headers, SIGNATURE)?)?;
    let mut is_right = Choice::from(0);
    for key in secrets.iter().filter_map(signing_secret::key) {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].iter().for_each(|part| mac.update(part));
        let right = mac.finalize().into_bytes();
        for signature in &given {
            is_right |= right.as_slice().ct_eq(signature);
        }
    }
    if !bool::from(is_right) {
        return Err(BadSignature::Wrong);
    }
    // After the signature: what nobody signed is wrong, not late.
    if now.duration_since(sent_at).abs() > TOLERANCE {
        return Err(BadSignature::Expired);
    }
    Ok(Verified { once: format!("{ID} {id}") })
}

/// The signatures of version 1; others are of kinds that need no secret of ours.
fn signatures(header: &str) -> Result<Vec<Vec<u8>>, BadSignature> {
    let malformed = BadSignature::Malformed(SIGNATURE);
    let words: Vec<&str> = header.split(' ').filter(|word| !word.is_empty()).collect();
    if words.len() > MAX_SIGNATURES {
        return Err(malformed);
    }
    let version_1 = words.iter().filter_map(|word| word.strip_prefix("v1,"));
    let signatures: Vec<Vec<u8>> = version_1.filter_map(|text| BASE64_STANDARD.decode(text).ok()).collect();
    if signatures.is_empty() { Err(malformed) } else { Ok(signatures) }
}

/// `X-Hub-Signature-256`: HMAC-SHA256 of the body, as `sha256=<hex>`. GitHub's.
fn hub_signature(secrets: &[Secret], headers: &HeaderMap, body: &[u8]) -> Result<Verified, BadSignature> {
    let mut found = Err(BadSignature::Wrong);
    for secret in secrets {
        match verify::verify(secret, headers.get_all(HUB_SIGNATURE), body) {
            Ok(_) => found = Ok(()),
            Err(verify::BadSignature::Wrong) => {}
            Err(
                verify::BadSignature::Missing
                | verify::BadSignature::Doubled
                | verify::BadSignature::NotSha256
                | verify::BadSignature::Malformed,
            ) => return Err(BadSignature::Malformed(HUB_SIGNATURE)),
        }
    }
    found?;
    // Hex digits may be written in two ways, and are one signature.
    let signature = only(headers, HUB_SIGNATURE)?.to_ascii_lowercase();
    Ok(Verified { once: format!("{HUB_SIGNATURE} {signature}") })
}

/// The one value of a header. Of several it cannot be known which one a proxy before us looked at.
fn only<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, BadSignature> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(text)), None) if !text.is_empty() => Ok(text),
        _ => Err(BadSignature::Malformed(name)),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    /// The vector of Standard Webhooks' own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const GOOD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    /// The vector of GitHub's documentation.
    const HUB_SECRET: &str = "It's a Secret to Everybody";
    const HUB_BODY: &[u8] = b"Hello, World!";
    const HUB_GOOD: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn checked(
        secrets: &[&str],
        pairs: &[(&'static str, &str)],
        body: &[u8],
        seconds_later: i64,
    ) -> Result<String, BadSignature> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| secret.parse().unwrap()).collect();
        let now = Timestamp::from_second(AT + seconds_later).unwrap();
        verify(&secrets, &headers(pairs), body, now).map(|verified| verified.once)
    }

    #[test_case(&[SECRET], GOOD, 0 => Ok(()) ; "as it was sent")]
    #[test_case(&[SECRET], GOOD, 300 => Ok(()) ; "five minutes late")]
    #[test_case(&[SECRET], GOOD, -300 => Ok(()) ; "five minutes early")]
    #[test_case(&[SECRET], GOOD, 301 => Err(BadSignature::Expired) ; "too late")]
    #[test_case(&[SECRET], GOOD, -301 => Err(BadSignature::Expired) ; "too early")]
    #[test_case(&[OTHER, SECRET], GOOD, 0 => Ok(()) ; "with the second secret")]
    #[test_case(&[SECRET, OTHER], GOOD, 0 => Ok(()) ; "with the first of two")]
    #[test_case(&[OTHER], GOOD, 0 => Err(BadSignature::Wrong) ; "with a secret that went")]
    #[test_case(&[HUB_SECRET], GOOD, 0 => Err(BadSignature::Wrong) ; "no secret of this scheme")]
    #[test_case(&[], GOOD, 0 => Err(BadSignature::Wrong) ; "no secret at all")]
    #[test_case(&[OTHER], GOOD, 301 => Err(BadSignature::Wrong) ; "wrong and late")]
    #[test_case(&[SECRET], "v1,AAAA v1a,BBBB v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 0 => Ok(()) ; "one of several")]
    #[test_case(&[SECRET], "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 0 => Err(BadSignature::Malformed(SIGNATURE)) ; "another version")]
    #[test_case(&[SECRET], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=", 0 => Err(BadSignature::Wrong) ; "another signature")]
    #[test_case(&[SECRET], "v1,g0hM", 0 => Err(BadSignature::Wrong) ; "the beginning of it")]
    #[test_case(&[SECRET], "v1,", 0 => Err(BadSignature::Wrong) ; "an empty one")]
    #[test_case(&[SECRET], "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 0 => Err(BadSignature::Malformed(SIGNATURE)) ; "no version")]
    fn standard_webhooks(secrets: &[&str], signature: &str, later: i64) -> Result<(), BadSignature> {
        let at = AT.to_string();
        let pairs = [(ID, MESSAGE), (TIMESTAMP, at.as_str()), (SIGNATURE, signature)];
        checked(secrets, &pairs, BODY, later).map(|once| assert_eq!(once, format!("webhook-id {MESSAGE}")))
    }

    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "1614265330")] => Err(BadSignature::Malformed(SIGNATURE)) ; "no signature")]
    #[test_case(&[(ID, MESSAGE), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(TIMESTAMP)) ; "no time")]
    #[test_case(&[(TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(ID)) ; "no id")]
    #[test_case(&[(ID, MESSAGE), (ID, MESSAGE), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(ID)) ; "two ids")]
    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(SIGNATURE)) ; "two headers of signatures")]
    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "+1614265330"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(TIMESTAMP)) ; "a sign")]
    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "99999999999999999999"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(TIMESTAMP)) ; "beyond the calendar")]
    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "soon"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(TIMESTAMP)) ; "a word")]
    #[test_case(&[(ID, "msg.1"), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)] => Err(BadSignature::Malformed(ID)) ; "a full stop in the id")]
    #[test_case(&[(ID, "msg_other"), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)] => Err(BadSignature::Wrong) ; "another id")]
    #[test_case(&[(ID, MESSAGE), (TIMESTAMP, "1614265331"), (SIGNATURE, GOOD)] => Err(BadSignature::Wrong) ; "another time")]
    #[test_case(&[(ID, MESSAGE), (HUB_SIGNATURE, HUB_GOOD)] => Err(BadSignature::Malformed(TIMESTAMP)) ; "not by the other scheme")]
    #[test_case(&[] => Err(BadSignature::Missing) ; "nothing")]
    fn headers_of_standard_webhooks(pairs: &[(&'static str, &str)]) -> Result<String, BadSignature> {
        checked(&[SECRET], pairs, BODY, 0)
    }

    #[test]
    fn a_signature_of_other_bytes_is_wrong() {
        let pairs = [(ID, MESSAGE), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)];
        assert_eq!(checked(&[SECRET], &pairs, b"{}", 0), Err(BadSignature::Wrong));
    }

    #[test]
    fn an_id_has_an_end() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        let pairs = [(ID, long.as_str()), (TIMESTAMP, "1614265330"), (SIGNATURE, GOOD)];
        assert_eq!(checked(&[SECRET], &pairs, BODY, 0), Err(BadSignature::Malformed(ID)));
        let many = [GOOD; MAX_SIGNATURES + 1].join(" ");
        let pairs = [(ID, MESSAGE), (TIMESTAMP, "1614265330"), (SIGNATURE, many.as_str())];
        assert_eq!(checked(&[SECRET], &pairs, BODY, 0), Err(BadSignature::Malformed(SIGNATURE)));
    }

    #[test_case(&[HUB_SECRET], &[HUB_GOOD] => Ok(()))]
    #[test_case(&[SECRET, HUB_SECRET], &[HUB_GOOD] => Ok(()) ; "with the second secret")]
    #[test_case(&[SECRET], &[HUB_GOOD] => Err(BadSignature::Wrong) ; "with another secret")]
    #[test_case(&[], &[HUB_GOOD] => Err(BadSignature::Wrong) ; "no secret at all")]
    #[test_case(&[HUB_SECRET], &[HUB_GOOD, HUB_GOOD] => Err(BadSignature::Malformed(HUB_SIGNATURE)) ; "twice")]
    #[test_case(&[HUB_SECRET], &["sha1=3dfc15d0ea994eb196950a8f70728f16558de2c7"] => Err(BadSignature::Malformed(HUB_SIGNATURE)) ; "sha1")]
    fn hub_signatures(secrets: &[&str], values: &[&str]) -> Result<(), BadSignature> {
        let pairs: Vec<_> = values.iter().map(|value| (HUB_SIGNATURE, *value)).collect();
        checked(secrets, &pairs, HUB_BODY, 1_000_000).map(drop)
    }

    #[test]
    fn a_signature_in_other_letters_is_the_same_signature() {
        let once = |value: &str| checked(&[HUB_SECRET], &[(HUB_SIGNATURE, value)], HUB_BODY, 0).unwrap();
        let upper = HUB_GOOD.to_uppercase().replace("SHA256", "sha256");
        assert_eq!(once(HUB_GOOD), once(&upper));
    }
}
