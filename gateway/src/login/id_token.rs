//! Verifies `id_token`s: signature, issuer, audience, time, nonce (OpenID Connect Core, section 3.1.3.7). No
//! I/O, so every rule is a row of a table.
//!
//! The algorithm is one of three with public keys, whatever the token's header says, so neither `none` nor an
//! HMAC "signed" with the public key gets as far as a key.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode,
    errors::ErrorKind,
    jwk::{Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::crypto::keys::equal;

/// The longest subject: OpenID Connect Core, section 2.
const MAX_SUBJECT_BYTES: usize = 255;

/// Why a token is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdTokenError {
    #[error("the id_token is not a token")]
    Malformed,
    #[error("the id_token is signed with {0}, which is not accepted")]
    Algorithm(String),
    #[error("the id_token is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("the signature of the id_token is wrong")]
    Signature,
    #[error("the id_token is of another issuer")]
    Issuer,
    #[error("the id_token is for another service")]
    Audience,
    #[error("the id_token has expired")]
    Expired,
    #[error("the id_token is not valid yet")]
    TooEarly,
    #[error("the id_token belongs to another sign-in")]
    Nonce,
    #[error("the id_token has no {0}")]
    Missing(String),
    #[error("there is no id_token in the answer")]
    None,
}

/// What a token must match.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
    /// The provider's own list; empty means it does not say, and RS256 is the standard's default.
    pub(crate) algorithms: &'a [String],
}

/// The claims of a verified token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) email: Option<String>,
    /// A boolean; some providers send text.
    email_verified: Option<Value>,
    aud: Value,
    azp: Option<String>,
    nonce: Option<String>,
}

impl Claims {
    /// Whether the provider verified the address.
    pub(crate) fn email_is_verified(&self) -> bool {
        is_true(self.email_verified.as_ref())
    }
}

/// True, or the text that some providers send.
pub(crate) fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "true",
        Some(_) | None => false,
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// The accepted algorithms.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// Verifies a token with the provider's keys.
pub(crate) fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Claims, IdTokenError> {
    let header = token.split('.').next().unwrap_or_default();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| IdTokenError::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| IdTokenError::Malformed)?;
    let refused = || IdTokenError::Algorithm(super::error::printable(&header.alg));
    let algorithm = algorithm(&header.alg).ok_or_else(refused)?;
    let offered = match expected.algorithms {
        [] => header.alg == "RS256",
        offered => offered.contains(&header.alg),
    };
    if !offered {
        return Err(refused());
    }
    let key = key(keys, &header).ok_or(IdTokenError::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| IdTokenError::UnknownKey)?;
    let mut rules = Validation::new(algorithm);
    rules.leeway = crate::auth::bearer_tokens::LEEWAY_S;
    rules.validate_nbf = true;
    rules.set_audience(&[expected.client_id]);
    rules.set_issuer(&[expected.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Claims>(token, &key, &rules).map_err(|error| refusal(error.kind()))?.claims;
    further(claims, expected)
}

/// The key that the token names; a token without a key id matches a single key.
fn key<'a>(keys: &'a [Jwk], header: &Header) -> Option<&'a Jwk> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let signs = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        let named = common.key_algorithm.is_none_or(|algorithm| algorithm.to_string() == header.alg);
        signs && named && (header.kid.is_none() || common.key_id == header.kid)
    };
    let mut found = keys.iter().filter(fits);
    let key = found.next()?;
    (header.kid.is_some() || found.next().is_none()).then_some(key)
}

fn refusal(kind: &ErrorKind) -> IdTokenError {
    match kind {
        ErrorKind::ExpiredSignature => IdTokenError::Expired,
        ErrorKind::ImmatureSignature => IdTokenError::TooEarly,
        ErrorKind::InvalidIssuer => IdTokenError::Issuer,
        ErrorKind::InvalidAudience => IdTokenError::Audience,
        ErrorKind::InvalidSignature => IdTokenError::Signature,
        ErrorKind::MissingRequiredClaim(name) => IdTokenError::Missing(name.clone()),
        // A key of another type than the algorithm's never signed this.
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => IdTokenError::Signature,
        _ => IdTokenError::Malformed,
    }
}

/// The checks that the library does not make.
fn further(claims: Claims, expected: &Expected<'_>) -> Result<Claims, IdTokenError> {
    let several = claims.aud.as_array().is_some_and(|all| all.len() > 1);
    match claims.azp.as_deref() {
        Some(party) if party != expected.client_id => return Err(IdTokenError::Audience),
        None if several => return Err(IdTokenError::Audience),
        Some(_) | None => {}
    }
    let nonce = claims.nonce.as_deref().unwrap_or_default();
    if !equal(nonce.as_bytes(), expected.nonce.as_bytes()) {
        return Err(IdTokenError::Nonce);
    }
    if claims.sub.is_empty() || claims.sub.len() > MAX_SUBJECT_BYTES {
        return Err(IdTokenError::Missing("sub".to_owned()));
    }
    Ok(claims)
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
