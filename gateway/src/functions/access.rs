//! Decides who may call a function.
//!
//! A function is opened by its registration, never by its manifest. A valid token of an owner or viewer always opens
//! it; a public one is open to everybody while the operator allows that, and a signed one to whoever signs with one of
//! its secrets. What is said here is asked with every call, so that a switch, a revoked token and a removed secret
//! hold from the next call on, at every gateway.

use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;
use jobs::{CallAccess, Ledger, Repo, Secret, accounts::Scope};

use crate::{
    auth::identity::{Access, Identity},
    crypto::{keyring::Keyring, signing_secret},
    error::ApiError,
    functions::{
        once::SignedCall,
        refusal::Refusal,
        settings::Settings,
        signature::{self, BadSignature},
    },
    http::{
        client_ip,
        credentials::bearer_token,
        rate_limit::{CallPermit, Limits},
    },
};

/// What a caller without a token is told, whether or not the function exists.
pub(super) const TOKEN_NEEDED: &str =
    "a token that may call this function is needed: Authorization: Bearer gft_…";

/// Decides who may call a function.
pub(crate) struct FunctionAccess {
    pub(crate) ledger: Ledger,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) access: Arc<Access>,
    pub(crate) settings: Settings,
}

/// The token that a request presents, which is looked up beside the function's name.
#[derive(Debug)]
pub(crate) enum Presented {
    /// None.
    Nothing,
    /// One that is none of ours, or not valid any more, and why. A public or signed function may know it.
    Invalid(&'static str),
    /// A valid one.
    Token(Box<Identity>),
}

/// Who calls, as far as it was proved.
#[derive(Debug)]
pub(crate) enum Caller {
    /// A user who may call it, with a token.
    User(Box<Identity>),
    /// Anybody.
    Public(CallPermit),
    /// Whoever has one of the function's secrets. Its job has the id that the call names, and what became of it is
    /// told to [`FunctionAccess::note_made`] or [`FunctionAccess::give_back`].
    Signed(SignedCall, CallPermit),
}

impl Caller {
    /// Whether the caller may name any built version; others reach the default and aliases only.
    pub(crate) fn may_choose_version(&self) -> bool {
        match self {
            Self::User(_) => true,
            Self::Public(_) | Self::Signed(..) => false,
        }
    }
}

/// What is known before the body was read.
#[derive(Debug)]
pub(crate) enum Admission<'r> {
    /// The call may be made.
    Granted(Caller),
    /// It may if its signature is right, for which the whole body is needed.
    IfSigned(SignedFunction<'r>),
}

/// A function that takes signed calls, and was sent one.
#[derive(Debug)]
pub(crate) struct SignedFunction<'r>(&'r Repo);

impl FunctionAccess {
    /// The token of a request. Never a cookie: browsers send cookies along with cross-site requests.
    ///
    /// # Errors
    /// Its user asks too often, or NATS is away.
    pub(crate) async fn presented(&self, headers: &HeaderMap) -> Result<Presented, ApiError> {
        if !headers.contains_key(header::AUTHORIZATION) {
            return Ok(Presented::Nothing);
        }
        let Some(token) = bearer_token(headers) else { return Ok(Presented::Invalid(TOKEN_NEEDED)) };
        match self.access.authenticate(token).await {
            Ok(identity) => Ok(Presented::Token(Box::new(identity))),
            Err(ApiError::Unauthorized(why)) => Ok(Presented::Invalid(why)),
            Err(error) => Err(error),
        }
    }

    /// Counts a request that needs no token for the user whose token it shows: with one it counts for no address.
    ///
    /// # Errors
    /// Its user asks too often, or NATS is away.
    pub(crate) async fn count(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.presented(headers).await.map(drop)
    }

    /// Whether `Authorization` shows a token of ours, which no function is told.
    pub(crate) fn shows_own_token(&self, headers: &HeaderMap) -> bool {
        self.access.shows_own_token(headers)
    }

    /// Decides without the body, as far as that can be done. `repo` is the registration of the function that was
    /// named, `None` where there is none.
    ///
    /// # Errors
    /// The call may not be made.
    pub(crate) fn admit<'r>(
        &self,
        repo: Option<&'r Repo>,
        presented: Presented,
        headers: &HeaderMap,
    ) -> Result<Admission<'r>, Refusal> {
        let repo = repo.filter(|repo| !repo.is_removing());
        let (refused, repo) = match (with_token(repo, presented), repo) {
            (Ok((identity, repo)), _) => {
                check_enabled(repo)?;
                return Ok(Admission::Granted(Caller::User(identity)));
            }
            (Err(refused), None) => return Err(refused),
            (Err(refused), Some(repo)) => (refused, repo),
        };
        match repo.calls.access {
            CallAccess::Token => Err(refused),
            CallAccess::Public if self.settings.public_functions => {
                check_enabled(repo)?;
                let permit = self.limits.acquire_public_call(repo.id, client_ip::address())?;
                Ok(Admission::Granted(Caller::Public(permit)))
            }
            CallAccess::Public => Err(refused),
            CallAccess::Signed if signature::is_there(headers) => {
                Ok(Admission::IfSigned(SignedFunction(repo)))
            }
            CallAccess::Signed => Err(refused),
        }
    }

    /// Decides about a signed call, and enters it so that it is made once.
    ///
    /// # Errors
    /// The call may not be made, or was made before.
    pub(crate) async fn verify(
        &self,
        SignedFunction(repo): SignedFunction<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Caller, Refusal> {
        let secrets = self.signing_secrets(repo);
        let verified = match signature::verify(&secrets, headers, body, Timestamp::now()) {
            Ok(verified) => verified,
            Err(reason) => return Err(self.reject(repo, reason)),
        };
        check_enabled(repo)?;
        let permit = self.limits.acquire_signed_call(repo.id)?;
        let call = self.enter(repo, &verified.once).await?;
        Ok(Caller::Signed(call, permit))
    }

    /// The secrets of a function; one that cannot be unsealed opens nothing.
    fn signing_secrets(&self, repo: &Repo) -> Vec<Secret> {
        let unsealed = |secret: &jobs::SigningSecret| {
            let opened = self.keys.unseal(&signing_secret::context(repo.id, &secret.id), &secret.sealed);
            opened
                .inspect_err(|error| tracing::error!(repo = %repo.id, %error, "signing secret not unsealed"))
                .ok()
        };
        repo.calls.signing_secrets.iter().filter_map(unsealed).collect()
    }

    /// Counts a call whose signature is not valid, against its address.
    fn reject(&self, repo: &Repo, reason: BadSignature) -> Refusal {
        if let Err(too_fast) = self.limits.check_unsigned_delivery(client_ip::address()) {
            return too_fast.into();
        }
        tracing::info!(repo = %repo.id, %reason, "signed call rejected");
        Refusal::Signature(reason)
    }
}

/// The identity of a token that may call this function.
fn with_token(repo: Option<&Repo>, presented: Presented) -> Result<(Box<Identity>, &Repo), Refusal> {
    let identity = match presented {
        Presented::Nothing => return Err(Refusal::Unauthorized(TOKEN_NEEDED)),
        Presented::Invalid(why) => return Err(Refusal::Unauthorized(why)),
        Presented::Token(identity) => identity,
    };
    if let Err(error) = identity.require_scope(Scope::Invoke) {
        return Err(Refusal::Forbidden(error.to_string()));
    }
    match repo.filter(|repo| identity.can_call(repo)) {
        Some(repo) => Ok((identity, repo)),
        None => Err(Refusal::NotFound),
    }
}

/// Refuses a function that its owner has turned off: said only to those who could call it otherwise.
fn check_enabled(repo: &Repo) -> Result<(), Refusal> {
    if repo.calls.enabled { Ok(()) } else { Err(Refusal::TurnedOff) }
}
