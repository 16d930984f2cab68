//! What a request says of who may call a registration's function.

use jiff::Timestamp;
use jobs::{
    CallAccess, CallSettings, RepoId, SigningSecret, api::RepoRequest, call_settings::MAX_SIGNING_SECRETS,
};

use crate::{
    crypto::{keyring::Keyring, signing_secret},
    error::ApiError,
    repos::Registrations,
};

/// Random bytes of a secret's id: enough to tell two apart.
const ID_BYTES: usize = 4;

impl Registrations {
    /// The settings of calls after a request; what it does not name stays.
    pub(super) fn call_settings(
        &self,
        repo: RepoId,
        before: &CallSettings,
        request: &RepoRequest,
    ) -> Result<CallSettings, ApiError> {
        if request.access == Some(CallAccess::Public) && !self.public_functions {
            let why = "access: there are no public functions here; the operator may set GITFAAS_PUBLIC_FUNCTIONS=true";
            return Err(ApiError::BadRequest(why.to_owned()));
        }
        after(repo, before, request, &self.keys)
    }
}

fn after(
    repo: RepoId,
    before: &CallSettings,
    request: &RepoRequest,
    keys: &Keyring,
) -> Result<CallSettings, ApiError> {
    let access = request.access.unwrap_or(before.access);
    let signing_secrets = match &request.signing_secrets {
        Some(wanted) => secrets(repo, &before.signing_secrets, wanted, keys)?,
        None => before.signing_secrets.clone(),
    };
    if access == CallAccess::Signed && signing_secrets.is_empty() {
        let why = "access: a signed function needs a secret that its callers sign with, in signing_secrets";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    Ok(CallSettings { access, enabled: request.enabled.unwrap_or(before.enabled), signing_secrets })
}

/// The secrets of a list: those whose ids it names stay, anything else is a new one.
fn secrets(
    repo: RepoId,
    there: &[SigningSecret],
    wanted: &[String],
    keys: &Keyring,
) -> Result<Vec<SigningSecret>, ApiError> {
    if wanted.len() > MAX_SIGNING_SECRETS {
        return Err(ApiError::BadRequest(format!(
            "signing_secrets: more than {MAX_SIGNING_SECRETS}; the one that is no longer used must go first"
        )));
    }
    let mut secrets: Vec<SigningSecret> = Vec::new();
    for (position, text) in wanted.iter().enumerate() {
        let kept = there.iter().find(|secret| secret.id == *text).cloned();
        let secret = match kept {
            Some(kept) => kept,
            None => {
                let secret = signing_secret::parse(text).map_err(|error| {
                    ApiError::BadRequest(format!(
                        "signing_secrets[{position}]: not the id of a secret that is there, and as a new one {error}"
                    ))
                })?;
                let id = hex::encode(rand::random::<[u8; ID_BYTES]>());
                let sealed = keys.seal(&signing_secret::context(repo, &id), &secret);
                SigningSecret { id, added_at: Timestamp::now(), sealed }
            }
        };
        if !secrets.iter().any(|known| known.id == secret.id) {
            secrets.push(secret);
        }
    }
    Ok(secrets)
}
