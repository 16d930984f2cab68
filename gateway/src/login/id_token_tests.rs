//! Verification of claims and keys, row by row.

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;
use test_case::test_case;

use super::*;
use crate::auth::bearer_tokens::Ed25519Pair;

const ISSUER: &str = "https://id.example";
const CLIENT: &str = "gitfaas";
const NONCE: &str = "n-1";

fn pair(seed: u8) -> Ed25519Pair {
    Ed25519Pair::from_seed(&[seed; 32])
}

/// The public half, as a provider publishes it.
fn jwk(seed: u8, kid: &str) -> Jwk {
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair(seed).public);
    serde_json::from_value(json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig" }))
        .unwrap()
}

fn claims() -> Value {
    let now = Timestamp::now().as_second();
    json!({ "iss": ISSUER, "sub": "7", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": NONCE,
            "email": "a@example.com", "email_verified": true })
}

fn signed(seed: u8, kid: &str, claims: &Value) -> String {
    let mut header = jsonwebtoken::Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    encode(&header, claims, &pair(seed).signing).unwrap()
}

fn check(token: &str) -> Result<Claims, IdTokenError> {
    let algorithms = ["RS256".to_owned(), "EdDSA".to_owned(), "HS256".to_owned()];
    let expected = Expected { issuer: ISSUER, client_id: CLIENT, nonce: NONCE, algorithms: &algorithms };
    verify(token, &[jwk(1, "one"), jwk(2, "two")], &expected)
}

#[test]
fn a_sound_token_is_believed() {
    let claims = check(&signed(1, "one", &claims())).unwrap();
    assert_eq!((claims.sub.as_str(), claims.email.as_deref()), ("7", Some("a@example.com")));
    assert!(claims.email_is_verified());
}

#[test_case("iss", json!("https://id.example/") => Err(IdTokenError::Issuer) ; "a slash more")]
#[test_case("iss", json!("https://ID.example") => Err(IdTokenError::Issuer) ; "another case")]
#[test_case("iss", json!(null) => Err(IdTokenError::Missing("iss".to_owned())) ; "no issuer")]
#[test_case("aud", json!("other") => Err(IdTokenError::Audience) ; "another audience")]
#[test_case("aud", json!(["other"]) => Err(IdTokenError::Audience) ; "other audiences")]
#[test_case("aud", json!([CLIENT, "other"]) => Err(IdTokenError::Audience) ; "several without azp")]
#[test_case("aud", json!([CLIENT]) => Ok(()) ; "a list of one")]
#[test_case("azp", json!("other") => Err(IdTokenError::Audience) ; "another party")]
#[test_case("azp", json!(CLIENT) => Ok(()) ; "our party")]
#[test_case("exp", json!(Timestamp::now().as_second() - 120) => Err(IdTokenError::Expired) ; "expired")]
#[test_case("exp", json!(Timestamp::now().as_second() - 30) => Ok(()) ; "expired within leeway")]
#[test_case("exp", json!(null) => Err(IdTokenError::Missing("exp".to_owned())) ; "no expiry")]
#[test_case("nbf", json!(Timestamp::now().as_second() + 120) => Err(IdTokenError::TooEarly) ; "not yet")]
#[test_case("nbf", json!(Timestamp::now().as_second() + 30) => Ok(()) ; "not yet within leeway")]
#[test_case("nonce", json!("n-2") => Err(IdTokenError::Nonce) ; "another nonce")]
#[test_case("nonce", json!(null) => Err(IdTokenError::Nonce) ; "no nonce")]
#[test_case("sub", json!("") => Err(IdTokenError::Missing("sub".to_owned())) ; "an empty subject")]
#[test_case("sub", json!("x".repeat(256)) => Err(IdTokenError::Missing("sub".to_owned())) ; "an endless subject")]
fn one_claim_changed(name: &str, value: Value) -> Result<(), IdTokenError> {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims.as_object_mut().unwrap().insert(name.to_owned(), value),
    };
    check(&signed(1, "one", &claims)).map(|_| ())
}

#[test_case(json!(true) => true)]
#[test_case(json!("true") => true ; "as text")]
#[test_case(json!(false) => false)]
#[test_case(json!("false") => false ; "no as text")]
#[test_case(json!(1) => false ; "a number")]
#[test_case(json!(null) => false ; "nothing")]
fn verified_addresses(value: Value) -> bool {
    is_true(Some(&value))
}

#[test]
fn a_key_that_is_not_the_named_one_proves_nothing() {
    assert_eq!(check(&signed(3, "one", &claims())).unwrap_err(), IdTokenError::Signature);
    assert_eq!(check(&signed(2, "one", &claims())).unwrap_err(), IdTokenError::Signature);
    assert_eq!(check(&signed(3, "three", &claims())).unwrap_err(), IdTokenError::UnknownKey);
}

#[test]
fn neither_no_signature_nor_a_shared_secret_is_a_proof() {
    let body = BASE64_URL_SAFE_NO_PAD.encode(claims().to_string());
    for alg in ["none", "None", "NONE"] {
        let header = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "kid": "one" }).to_string());
        assert_eq!(check(&format!("{header}.{body}.")).unwrap_err(), IdTokenError::Algorithm(alg.to_owned()));
    }
    let public = EncodingKey::from_secret(&pair(1).public);
    let confused = encode(&jsonwebtoken::Header::new(Algorithm::HS256), &claims(), &public).unwrap();
    assert_eq!(check(&confused).unwrap_err(), IdTokenError::Algorithm("HS256".to_owned()));
}

#[test]
fn a_provider_that_names_its_algorithms_is_held_to_them() {
    let algorithms = ["RS256".to_owned()];
    for algorithms in [&algorithms[..], &[]] {
        let expected = Expected { issuer: ISSUER, client_id: CLIENT, nonce: NONCE, algorithms };
        let refused = verify(&signed(1, "one", &claims()), &[jwk(1, "one")], &expected).unwrap_err();
        assert_eq!(refused, IdTokenError::Algorithm("EdDSA".to_owned()));
    }
}

#[test_case("" ; "nothing")]
#[test_case("a.b.c" ; "no base64")]
#[test_case("e30.e30.e30" ; "no header")]
fn nonsense_is_no_token(token: &str) {
    assert_eq!(check(token).unwrap_err(), IdTokenError::Malformed);
}
