//! `/api/v1/repos/{id}/secrets`: what functions of a repository are given and nobody is shown.
//!
//! Only a repository's owners name, set and remove them. A value is sealed before it is stored, bound
//! to its repository and name, and told to nobody but the worker that runs a job which names it, for an
//! event that it is meant for. Jobs of strangers' commits get none, whatever the events.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jobs::{
    Job, Repo, RepoId, Secret, SecretEvent, Trigger,
    accounts::Scope,
    audit::Action,
    bucket::{Bucket, BucketError, Entry},
    streams,
    usage::Resource,
};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::{
    api::view::List,
    error::ApiError,
    extract::{Query, read},
    index::{mirror, mirror::Mirror},
    state::{Gateway, SealedSecret},
};

/// The longest value, in bytes: sealed and in JSON it is 64 KiB, and a kernel takes 128 KiB for one
/// variable (`MAX_ARG_STRLEN`).
const MAX_VALUE_BYTES: usize = 48 * 1024;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Secrets of one repository. A name that was removed leaves a mark for a while, and counts.
const MAX_SECRETS: usize = 200;
/// What a secret takes up besides its sealed value, in bytes: key, events and headers.
const BESIDES_BYTES: u64 = 300;
/// A rerun of a rerun is followed so far back.
const MAX_RERUNS: usize = 32;
/// Names that would be sealed for the same place as what a registration itself has sealed
/// ([`crate::repos::register::secret_place`], [`crate::repos::register::token_place`]).
const RESERVED: [&str; 2] = ["secret", "token"];

/// How much a stored secret takes up, read from it without keeping its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecretSize {
    /// Of the sealed value and what goes with it.
    #[serde(rename = "sealed", deserialize_with = "length")]
    pub(crate) bytes: u64,
}

fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let sealed = String::deserialize(deserializer)?;
    Ok(sealed.len() as u64 + BESIDES_BYTES)
}

/// Follows how much secrets take up until `stop`.
pub(crate) async fn follow_sizes(
    js: async_nats::jetstream::Context,
    sizes: Arc<Mirror<SecretSize>>,
    stop: CancellationToken,
) {
    // A stream by its name alone asks nobody, and cannot fail.
    if let Ok(bucket) = Bucket::open(&js, streams::SECRETS).await {
        mirror::follow(bucket, sizes, stop).await;
    }
}

/// What a secret is for unless told: whoever makes these may write to the repository, or call it.
pub(crate) fn usual_events() -> Vec<SecretEvent> {
    vec![SecretEvent::Push, SecretEvent::Tag, SecretEvent::Call]
}

/// The key of a secret, and what it is sealed for.
pub(crate) fn key(repo: RepoId, name: &str) -> String {
    format!("{repo}.{name}")
}

/// A name of a variable, as manifests take it.
pub(crate) fn is_name(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(letters)
        && !name.starts_with("GITFAAS_")
        && !RESERVED.contains(&name)
}

/// A secret as it is shown: everything but its value.
#[derive(Debug, Serialize)]
pub(crate) struct SecretView {
    name: String,
    events: Vec<SecretEvent>,
    updated_at: Timestamp,
}

impl SecretView {
    fn of(name: &str, entry: &Entry<SealedSecret>) -> Self {
        Self { name: name.to_owned(), events: entry.value.events.clone(), updated_at: entry.written_at }
    }
}

/// Of `PUT /api/v1/repos/{id}/secrets/{name}`.
#[derive(Deserialize)]
pub(crate) struct Wish {
    /// Separated by commas.
    events: Option<String>,
}

fn events(text: &str) -> Result<Vec<SecretEvent>, ApiError> {
    let mut events = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let event = serde_json::from_value(word.into()).map_err(|_| {
            ApiError::BadRequest("events: push, tag, pull_request or call, with commas".to_owned())
        })?;
        if !events.contains(&event) {
            events.push(event);
        }
    }
    match events.is_empty() {
        true => Err(ApiError::BadRequest("events: none is named".to_owned())),
        false => Ok(events),
    }
}

fn value(bytes: &[u8]) -> Result<Secret, ApiError> {
    let wrong = |why: &str| ApiError::BadRequest(format!("the value {why}"));
    let text = str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    if text.contains('\0') {
        return Err(wrong("holds a NUL, which no variable can"));
    }
    text.parse().map_err(wrong)
}

/// `PUT /api/v1/repos/{id}/secrets/{name}`: the body is the value, byte for byte.
pub(crate) async fn set(
    State(gateway): State<Arc<Gateway>>,
    Path((id, name)): Path<(String, String)>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let repo = gateway.own_repo(&caller, &id).await?.value;
    if !is_name(&name) {
        let sentence = format!(
            "name: a letter or _, then letters, digits and _; {MAX_NAME_BYTES} at most; not {}, and nothing that begins with GITFAAS_",
            RESERVED.join(", ")
        );
        return Err(ApiError::BadRequest(sentence));
    }
    let wished = wish.events.as_deref().map(events).transpose()?;
    let value = value(&read(body, MAX_VALUE_BYTES).await?)?;
    let key = key(repo.id, &name);
    let sealed = gateway.keys.seal(&key, &value);
    let (entry, is_new) = gateway.store_secret(&repo, &key, sealed, wished).await?;
    tracing::info!(repo = %repo.id, name, user = %caller.user.id, "a secret was set");
    gateway.audit(&caller, Action::SecretSet, &key).await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SecretView::of(&name, &entry))).into_response())
}

/// `GET /api/v1/repos/{id}/secrets`: by name.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<List<SecretView>>, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let repo = gateway.own_repo(&caller, &id).await?.value.id;
    let mut items = Vec::new();
    for key in gateway.secret_keys(repo).await? {
        if let Some(entry) = gateway.secrets.get(&key).await?
            && let Some((_, name)) = key.split_once('.')
        {
            items.push(SecretView::of(name, &entry));
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(List { items, next: None }))
}

/// `DELETE /api/v1/repos/{id}/secrets/{name}`
pub(crate) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let repo = gateway.own_repo(&caller, &id).await?.value;
    let missing = || ApiError::NotFound("secret");
    let key = Some(&name).filter(|name| is_name(name)).map(|name| key(repo.id, name)).ok_or_else(missing)?;
    let entry = gateway.secrets.get(&key).await?.ok_or_else(missing)?;
    gateway.secrets.delete(&key, entry.revision).await?;
    gateway.secret_sizes.forget(&key);
    gateway.release(repo.owner, &key);
    tracing::info!(repo = %repo.id, name, user = %caller.user.id, "a secret was removed");
    gateway.audit(&caller, Action::SecretRemoved, &key).await;
    Ok(StatusCode::NO_CONTENT)
}

impl Gateway {
    /// The keys of a repository's secrets, with those that were removed.
    async fn secret_keys(&self, repo: RepoId) -> Result<Vec<String>, BucketError> {
        self.secrets.subjects_under(&format!("{repo}.")).await
    }

    /// Writes a secret; without events it keeps those it has. Tells whether it is new.
    async fn store_secret(
        &self,
        repo: &Repo,
        key: &str,
        sealed: String,
        events: Option<Vec<SecretEvent>>,
    ) -> Result<(Entry<SealedSecret>, bool), ApiError> {
        loop {
            let known = self.secrets.get(key).await?;
            let is_new = known.is_none();
            self.hold_for_secret(repo, key, sealed.len() as u64, known.as_ref()).await?;
            let written = match known {
                Some(entry) => {
                    let events = events.clone().unwrap_or_else(|| entry.value.events.clone());
                    let secret = SealedSecret { sealed: sealed.clone(), events, ..entry.value };
                    self.secrets.update(key, &secret, entry.revision).await
                }
                None => {
                    let keys = self.secret_keys(repo.id).await?;
                    if keys.len() >= MAX_SECRETS && !keys.iter().any(|known| known == key) {
                        let sentence = format!("{MAX_SECRETS} names of secrets are the limit; use one again");
                        return Err(ApiError::TooMany(sentence));
                    }
                    let events = events.clone().unwrap_or_else(usual_events);
                    let secret = SealedSecret { sealed: sealed.clone(), events, other: Map::new() };
                    self.secrets.create(key, &secret).await
                }
            };
            match written {
                Ok(_) => {}
                Err(error) if error.is_conflict() => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(entry) = self.secrets.get(key).await? {
                return Ok((entry, is_new));
            }
        }
    }

    /// Holds place for a secret, or for what it is longer than the one before.
    async fn hold_for_secret(
        &self,
        repo: &Repo,
        key: &str,
        sealed_bytes: u64,
        known: Option<&Entry<SealedSecret>>,
    ) -> Result<(), ApiError> {
        let (id, amount) = match known {
            None => (key.to_owned(), sealed_bytes + BESIDES_BYTES),
            Some(entry) => {
                let more = sealed_bytes.saturating_sub(entry.value.sealed.len() as u64);
                (format!("{key}#{}", entry.revision), more)
            }
        };
        match amount {
            0 => Ok(()),
            amount => self.reserve(repo.owner, id, Resource::Secrets, amount).await,
        }
    }

    /// Removes all secrets of a repository that is gone.
    pub(crate) async fn forget_secrets(&self, repo: RepoId) -> Result<(), BucketError> {
        for key in self.secret_keys(repo).await? {
            while let Some(entry) = self.secrets.get(&key).await? {
                match self.secrets.delete(&key, entry.revision).await {
                    Ok(()) => break,
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether pushes and pull requests of a repository get the same secrets.
    pub(crate) async fn secrets_agree(&self, repo: RepoId) -> Result<bool, BucketError> {
        for key in self.secret_keys(repo).await? {
            let Some(entry) = self.secrets.get(&key).await? else { continue };
            let gets = |event| entry.value.events.contains(&event);
            if gets(SecretEvent::Push) != gets(SecretEvent::PullRequest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What made a job in the first place, however often it was run again: of a record that nobody signed,
    /// where it was made before records were. `None` when that is not known any more: then it gets no
    /// secrets.
    pub(crate) async fn event_of(&self, job: &Job) -> Result<Option<SecretEvent>, ApiError> {
        let (mut trigger, mut before) = (job.trigger, job.rerun_of);
        for _ in 0..MAX_RERUNS {
            let Trigger::Rerun = trigger else { return Ok(SecretEvent::of(trigger)) };
            let Some(id) = before else { return Ok(None) };
            let Some(original) = self.ledger.job(id).await? else { return Ok(None) };
            (trigger, before) = (original.value.trigger, original.value.rerun_of);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("KEY" => true)]
    #[test_case("_key2" => true)]
    #[test_case("" => false ; "empty")]
    #[test_case("2KEY" => false ; "a digit first")]
    #[test_case("A.B" => false ; "a dot would be another key")]
    #[test_case("A*" => false ; "a wildcard")]
    #[test_case("GITFAAS_JOB_ID" => false ; "ours")]
    #[test_case("secret" => false ; "the webhook's")]
    #[test_case("token" => false ; "the registration's")]
    fn a_name_of_a_secret(name: &str) -> bool {
        is_name(name)
    }

    #[test_case("push, tag" => Some(vec![SecretEvent::Push, SecretEvent::Tag]))]
    #[test_case("pull_request,pull_request" => Some(vec![SecretEvent::PullRequest]))]
    #[test_case("" => None ; "none")]
    #[test_case("pushes" => None ; "no such")]
    fn events_that_are_named(text: &str) -> Option<Vec<SecretEvent>> {
        events(text).ok()
    }

    #[test_case(b"hunter2" => true)]
    #[test_case(b" \n" => false ; "blank")]
    #[test_case(b"a\0b" => false ; "a NUL")]
    #[test_case(b"\xff" => false ; "not text")]
    fn is_a_value(bytes: &[u8]) -> bool {
        value(bytes).is_ok()
    }
}
