//! A fake OpenID Connect provider that signs whatever a test needs, without a page, and tampers on request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::{
    Form, Json, Router,
    extract::{Query, State},
    response::Redirect,
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// How a token is tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tamper {
    Nothing,
    Signature,
    Issuer,
    Audience,
    Expired,
    NoAlgorithm,
    /// HS256, with the public key as the secret.
    PublicKeyAsSecret,
    Nonce,
    Unverified,
}

/// How a key is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyIds {
    Own,
    /// The same for every key.
    Reused,
    None,
}

pub(crate) struct FakeProvider {
    pub(crate) issuer: String,
    state: Arc<Mutex<ProviderState>>,
}

struct ProviderState {
    issuer: String,
    lie: Tamper,
    /// Of the key that signs.
    seed: u8,
    names: KeyIds,
    email: String,
    keys_fetched: usize,
    nonces: HashMap<String, String>,
}

impl ProviderState {
    fn kid(&self) -> Option<String> {
        match self.names {
            KeyIds::Own => Some(self.seed.to_string()),
            KeyIds::Reused => Some("the-key".to_owned()),
            KeyIds::None => None,
        }
    }
}

fn pair(seed: u8) -> (EncodingKey, Vec<u8>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let document = pair.to_pkcs8v1().unwrap();
    (EncodingKey::from_ed_der(document.as_ref()), pair.public_key().as_ref().to_vec())
}

impl FakeProvider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(ProviderState {
            issuer: issuer.clone(),
            lie: Tamper::Nothing,
            seed: 1,
            names: KeyIds::Own,
            email: "ada@example.com".to_owned(),
            keys_fetched: 0,
            nonces: HashMap::new(),
        }));
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { issuer, state }
    }

    pub(crate) fn lies(&self, lie: Tamper) {
        self.state.lock().unwrap().lie = lie;
    }

    /// The user's address from here on.
    pub(crate) fn moves_to(&self, email: &str) {
        email.clone_into(&mut self.state.lock().unwrap().email);
    }

    /// Signs with another key from here on, and publishes that one alone.
    pub(crate) fn changes_its_key(&self) {
        self.state.lock().unwrap().seed += 1;
    }

    pub(crate) fn names_its_keys(&self, key_ids: KeyIds) {
        self.state.lock().unwrap().names = key_ids;
    }

    pub(crate) fn keys_fetched(&self) -> usize {
        self.state.lock().unwrap().keys_fetched
    }
}

type Shared = State<Arc<Mutex<ProviderState>>>;

async fn description(State(state): Shared) -> Json<Value> {
    let issuer = &state.lock().unwrap().issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        // A provider may offer more than is accepted.
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn authorize(State(state): Shared, Query(query): Query<HashMap<String, String>>) -> Redirect {
    let mut state = state.lock().unwrap();
    let code = format!("code-{}", state.nonces.len());
    state.nonces.insert(code.clone(), query["nonce"].clone());
    let pairs = [("code", code.as_str()), ("state", &query["state"]), ("iss", &state.issuer)];
    Redirect::to(reqwest::Url::parse_with_params(&query["redirect_uri"], pairs).unwrap().as_str())
}

async fn keys(State(state): Shared) -> Json<Value> {
    let mut state = state.lock().unwrap();
    state.keys_fetched += 1;
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair(state.seed).1);
    let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig" });
    if let Some(kid) = state.kid() {
        key["kid"] = kid.into();
    }
    // Of an unknown type, before the one that counts.
    Json(json!({ "keys": [{ "kty": "AKP", "alg": "ML-DSA-44", "kid": "0", "pub": "" }, key] }))
}

async fn token(State(state): Shared, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let mut state = state.lock().unwrap();
    assert_eq!(form["grant_type"], "authorization_code");
    assert!(form["code_verifier"].len() >= 43);
    let nonce = state.nonces.remove(&form["code"]).unwrap();
    let now = Timestamp::now().as_second();
    let said = |lie: Tamper, truth: Value, other: Value| if state.lie == lie { other } else { truth };
    let claims = json!({
        "iss": said(Tamper::Issuer, json!(state.issuer), json!(format!("{}/", state.issuer))),
        "sub": "7",
        "aud": said(Tamper::Audience, json!("gitfaas"), json!("another")),
        "exp": said(Tamper::Expired, json!(now + 300), json!(now - 300)),
        "iat": now,
        "nonce": said(Tamper::Nonce, json!(nonce), json!("of-another-sign-in")),
        "email": state.email,
        "email_verified": state.lie != Tamper::Unverified,
    });
    let kid = state.kid();
    let (signing, public) = pair(if state.lie == Tamper::Signature { 99 } else { state.seed });
    let id_token = match state.lie {
        Tamper::NoAlgorithm => {
            let header = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": kid }).to_string());
            format!("{header}.{}.", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
        }
        Tamper::PublicKeyAsSecret => {
            let header = Header { kid, ..Header::new(Algorithm::HS256) };
            encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap()
        }
        Tamper::Nothing
        | Tamper::Signature
        | Tamper::Issuer
        | Tamper::Audience
        | Tamper::Expired
        | Tamper::Nonce
        | Tamper::Unverified => {
            encode(&Header { kid, ..Header::new(Algorithm::EdDSA) }, &claims, &signing).unwrap()
        }
    };
    Json(json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": id_token }))
}
