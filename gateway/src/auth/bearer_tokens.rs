//! Bearer tokens for programs: JWTs signed with a key that is derived from the master key, valid for an hour.
//!
//! The signature saves no read: the token's session is read from the leader with every request, so that a
//! session that ended is refused at once, at every gateway.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jobs::{
    SessionId, TokenId, UserId,
    accounts::Scope,
    sessions::{COOKIE_PREFIX, Session},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    auth::identity::{Access, Identity},
    error::ApiError,
};

/// How long a bearer token is valid: long enough for a job, short enough that a leak is tolerable.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Tolerated clock skew, in seconds.
pub(crate) const LEEWAY_S: u64 = 60;
/// The `aud` claim.
const AUDIENCE: &str = "gitfaas";
/// The `typ` header (RFC 9068): no other kind of token is accepted as one of these.
const TOKEN_TYPE: &str = "at+jwt";

/// An Ed25519 key pair, derived from its seed.
pub(crate) struct Ed25519Pair {
    pub(crate) signing: EncodingKey,
    pub(crate) public: Vec<u8>,
}

impl Ed25519Pair {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
        // RFC 8410, section 7: the bytes before the seed in a PKCS #8 document.
        let head = hex::decode("302e020100300506032b657004220420").expect("hex digits");
        let document = [head.as_slice(), seed].concat();
        Self { signing: EncodingKey::from_ed_der(&document), public: pair.public_key().as_ref().to_vec() }
    }
}

/// The claims of a bearer token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    aud: String,
    exp: i64,
    iat: i64,
    jti: TokenId,
    /// The session that it ends with.
    sid: SessionId,
    /// Separated by spaces (RFC 8693, section 4.2).
    scope: String,
}

/// Signs and verifies bearer tokens.
pub(crate) struct BearerTokens {
    issuer: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl std::fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BearerTokens({})", self.issuer)
    }
}

impl BearerTokens {
    /// `installation` tells tokens of other installations apart, whatever their public URL.
    pub(crate) fn new(seed: &[u8; 32], installation: &str) -> Self {
        let pair = Ed25519Pair::from_seed(seed);
        Self {
            issuer: format!("urn:uuid:{installation}"),
            signing: pair.signing,
            verifying: DecodingKey::from_ed_der(&pair.public),
        }
    }

    /// A token of this session, and its lifetime in seconds.
    pub(crate) fn sign(&self, session: &Session) -> (String, i64) {
        let now = Timestamp::now();
        let ends = (now + LIFETIME).min(session.expires_at).as_second();
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: session.user,
            aud: AUDIENCE.to_owned(),
            exp: ends,
            iat: now.as_second(),
            jti: TokenId::new(),
            sid: session.id,
            scope: scope_claim(&session.scopes),
        };
        let header = Header { typ: Some(TOKEN_TYPE.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let token = encode(&header, &claims, &self.signing).expect("a key of ours signs plain claims");
        (token, ends - now.as_second())
    }

    /// Whether a token says that it was issued here; whether it is valid is not asked.
    pub(crate) fn issued(&self, token: &str) -> bool {
        let Some(payload) = token.split('.').nth(1) else { return false };
        let Ok(json) = BASE64_URL_SAFE_NO_PAD.decode(payload) else { return false };
        serde_json::from_slice::<Value>(&json).is_ok_and(|claims| claims["iss"] == self.issuer.as_str())
    }

    /// Verifies a token and returns its claims.
    fn verify(&self, token: &str) -> Result<Claims, ApiError> {
        let unknown = ApiError::Unauthorized("this token is not valid");
        let mut rules = Validation::new(Algorithm::EdDSA);
        // Tokens are issued by gateways alone; a minute is what their clocks may differ by.
        rules.leeway = LEEWAY_S;
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        match decode::<Claims>(token, &self.verifying, &rules) {
            Ok(found) if found.header.typ.as_deref() == Some(TOKEN_TYPE) => Ok(found.claims),
            Ok(_) => Err(unknown),
            Err(error) => Err(match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                    ApiError::Unauthorized("this token has expired")
                }
                _ => unknown,
            }),
        }
    }
}

/// Scopes as the `scope` claim.
pub(crate) fn scope_claim(scopes: &[Scope]) -> String {
    let words =
        scopes.iter().filter_map(|scope| Some(serde_json::to_value(scope).ok()?.as_str()?.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether this is a session's cookie or bearer token, not an API token.
pub(crate) fn is_session_token(token: &str) -> bool {
    token.starts_with(COOKIE_PREFIX) || token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Access {
    /// The identity behind a session's bearer token or cookie.
    pub(crate) async fn session_identity(&self, token: &str) -> Result<Identity, ApiError> {
        let over = || ApiError::Unauthorized("this sign-in has ended; sign in again");
        let (session, id) = if token.starts_with(COOKIE_PREFIX) {
            (self.sessions.of_cookie(token).await?.ok_or_else(over)?, TokenId::new())
        } else {
            let claims = self.bearer_tokens.verify(token)?;
            let session = self.sessions.get(claims.sid).await?.ok_or_else(over)?;
            if session.user != claims.sub {
                return Err(over());
            }
            (session, claims.jti)
        };
        let user = session.user.to_string();
        let makers = self.all_exist(&session.made_by);
        let (user, all_there) = tokio::try_join!(self.ledger.accounts.users.get(&user), makers)?;
        let user = user.filter(|_| all_there).ok_or_else(over)?.value;
        Ok(Identity::from_session(user, id, session))
    }
}

#[cfg(test)]
mod tests {
    use jobs::{accounts::ALL_SCOPES, sessions::Holder};

    use super::*;

    fn session(expires_at: Timestamp) -> Session {
        Session {
            id: SessionId::new(),
            user: UserId::new(),
            holder: Holder::Program,
            hash: String::new(),
            scopes: ALL_SCOPES.to_vec(),
            provider: "device".to_owned(),
            let_in: None,
            expires_at,
            until: None,
            made_by: Vec::new(),
            other: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_token_is_taken_back_by_its_own_installation_alone() {
        let session = session(Timestamp::now() + SignedDuration::from_hours(48));
        let ours = BearerTokens::new(&[1; 32], "a");
        let (token, expires_in) = ours.sign(&session);
        assert_eq!(expires_in, 3600);
        let claims = ours.verify(&token).unwrap();
        assert_eq!((claims.sub, claims.sid), (session.user, session.id));
        assert_eq!(claims.scope, "jobs:read jobs:write repos admin");
        assert!(BearerTokens::new(&[1; 32], "b").verify(&token).is_err());
        assert!(ours.issued(&token) && !BearerTokens::new(&[1; 32], "b").issued(&token));
        assert!(!["", "a", "a.b.c", "a.e30.c"].iter().any(|token| ours.issued(token)));
        assert!(BearerTokens::new(&[2; 32], "a").verify(&token).is_err());
        let (head, rest) = token.split_at(token.len() - 4);
        assert!(ours.verify(&format!("{head}{}", rest.chars().rev().collect::<String>())).is_err());
    }

    #[test]
    fn a_token_does_not_outlive_its_session() {
        let ours = BearerTokens::new(&[1; 32], "a");
        let (token, expires_in) = ours.sign(&session(Timestamp::now() - SignedDuration::from_mins(5)));
        assert!(expires_in < 0);
        assert!(matches!(ours.verify(&token), Err(ApiError::Unauthorized("this token has expired"))));
    }

    #[test]
    fn another_kind_of_token_signed_with_the_same_key_is_none_of_these() {
        let ours = BearerTokens::new(&[1; 32], "a");
        let (token, _) = ours.sign(&session(Timestamp::now() + LIFETIME));
        let claims = ours.verify(&token).unwrap();
        let other = encode(&Header::new(Algorithm::EdDSA), &claims, &ours.signing).unwrap();
        assert!(ours.verify(&other).is_err());
    }
}
