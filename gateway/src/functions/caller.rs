//! What a call knows of its caller.

use http::HeaderMap;
use jobs::{JobId, Repo, RepoId, cgi};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    functions::{Functions, access::Caller, call::Call, problem::CallError},
    http::{
        client_ip,
        rate_limit::{CallPermit, LimitKey},
    },
    jobs::{function_call::Once, idempotency::check_key},
};

/// The header of an idempotency key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Caller {
    /// The id of the call's job: a signed call has one already.
    pub(super) fn job(&self) -> JobId {
        match self {
            Self::User(_) | Self::Public(_) => JobId::new(),
            Self::Signed(signed, _) => signed.job,
        }
    }

    /// Whom it counts for that the caller waits: never the owner, who would wait for nothing once strangers do.
    pub(super) fn waiter(&self, repo: RepoId) -> LimitKey {
        match self {
            Self::User(identity) => LimitKey::User(identity.user.id),
            Self::Public(_) | Self::Signed(..) => LimitKey::Function(repo),
        }
    }

    /// Who called, for the program.
    pub(super) fn email(&self) -> Option<String> {
        match self {
            Self::User(identity) => Some(identity.user.email.clone()),
            Self::Public(_) | Self::Signed(..) => None,
        }
    }

    /// Whether the caller has no token of ours, so that `Authorization` is the function's affair.
    pub(super) fn is_stranger(&self) -> bool {
        match self {
            Self::User(_) => false,
            Self::Public(_) | Self::Signed(..) => true,
        }
    }
}

/// What is digested of a request: its fields in this order. Stored digests depend on it.
#[derive(Serialize)]
struct Digested<'a> {
    function: &'a str,
    version: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    content_type: Option<&'a str>,
    body: String,
}

impl Functions {
    /// What makes the call once, where its caller gave a key. Keys of public callers are by function and address.
    pub(super) fn once(
        &self,
        headers: &HeaderMap,
        call: &Call<'_>,
        repo: &Repo,
        caller: &Caller,
        told: &cgi::Request,
        body: &[u8],
    ) -> Result<Option<Once>, CallError> {
        let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let key = key.to_str().map_err(|_| ApiError::BadRequest("Idempotency-Key: not ASCII".to_owned()))?;
        check_key(key)?;
        let (owner, key) = match caller {
            Caller::User(identity) => (identity.user.id, key.to_owned()),
            // No header holds a NUL, so no caller's own key is like this.
            Caller::Public(_) => {
                let address = client_ip::address().map(|address| address.to_string()).unwrap_or_default();
                (repo.owner, format!("public\0{}\0{address}\0{key}", repo.id))
            }
            // Its signature makes it once.
            Caller::Signed(..) => return Ok(None),
        };
        let digested = Digested {
            function: &call.function,
            version: call.version.as_deref(),
            method: &told.method,
            path: &told.path,
            query: told.query.as_deref(),
            content_type: told.content_type.as_deref(),
            body: hex::encode(Sha256::digest(body)),
        };
        let request = hex::encode(Sha256::digest(serde_json::to_vec(&digested).expect("texts are JSON")));
        Ok(Some(Once { owner, key, request }))
    }

    /// Notes for a signed call whether its job was made. Returns what counts as long as the caller waits.
    pub(super) async fn settle(&self, caller: Caller, is_made: bool) -> Option<CallPermit> {
        match caller {
            Caller::User(_) => None,
            Caller::Public(permit) => Some(permit),
            Caller::Signed(signed, permit) => {
                match is_made {
                    true => self.access.note_made(signed).await,
                    false => self.access.give_back(signed).await,
                }
                Some(permit)
            }
        }
    }
}
