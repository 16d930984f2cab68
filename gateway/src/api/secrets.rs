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
use http::StatusCode;
use jobs::{
    Secret, SecretEvent,
    api::{self, OpenEnum, Page, SetSecret},
    audit::Action,
    bucket::Entry,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Type, schema::Schema},
};

use crate::{
    api::responses::{BadRequest, NotFound, WithBody, WithScope},
    audit::AuditLog,
    auth::rights::OwnedRepo,
    crypto::{keyring::Keyring, sealed::SealedSecret},
    error::ApiError,
    extract::{Query, read},
    repos::secrets::{MAX_NAME_BYTES, RESERVED, SecretStore, is_name, key},
    usage::Budgets,
};

/// The longest value, in bytes: sealed and in JSON it is 64 KiB, and a kernel takes 128 KiB for one
/// variable (`MAX_ARG_STRLEN`).
const MAX_VALUE_BYTES: usize = 48 * 1024;

/// A secret as it is shown: everything but its value.
fn shown(name: &str, entry: &Entry<SealedSecret>) -> api::Secret {
    let events = entry.value.events.iter().copied().map(OpenEnum::Known).collect();
    api::Secret { name: name.to_owned(), events, updated_at: entry.written_at }
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

/// The value of a secret.
struct SecretValue;

impl PartialSchema for SecretValue {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_VALUE_BYTES)).into()
    }
}

impl ToSchema for SecretValue {}

/// Store a secret; the body is the value, byte for byte.
#[utoipa::path(
    put, path = "/api/v1/repos/{id}/secrets/{name}", tag = "api", operation_id = "setSecret",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function."), ("name" = String, Path, description = "The name of the variable."), SetSecret),
    request_body(content = SecretValue, content_type = "text/plain", description = "The value: UTF-8 without NUL, 48 KiB at most."),
    responses(
        (status = 200, description = "Changed.", body = api::Secret),
        (status = 201, description = "New.", body = api::Secret),
        (status = 409, description = "Changed in between.", body = api::Error),
        WithScope,
        WithBody,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn set(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(audit): State<AuditLog>,
    State(keys): State<Arc<Keyring>>,
    State(secret_store): State<Arc<SecretStore>>,
    Path((_, name)): Path<(String, String)>,
    Query(params): Query<SetSecret>,
    body: Body,
) -> Result<Response, ApiError> {
    let repo = entry.value;
    if !is_name(&name) {
        let sentence = format!(
            "name: a letter or _, then letters, digits and _; {MAX_NAME_BYTES} at most; not {}, and nothing that begins with GITFAAS_",
            RESERVED.join(", ")
        );
        return Err(ApiError::BadRequest(sentence));
    }
    let given = params.events.as_deref().map(events).transpose()?;
    let value = value(&read(body, MAX_VALUE_BYTES).await?)?;
    let key = key(repo.id, &name);
    let sealed = keys.seal(&key, &value);
    let (entry, is_new) = secret_store.store_secret(&repo, &key, sealed, given).await?;
    tracing::info!(repo = %repo.id, name, user = %caller.user.id, "a secret was set");
    audit.write(&caller, Action::SecretSet, &key).await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(&name, &entry))).into_response())
}

/// Secrets of a repository, by name; never their values.
#[utoipa::path(
    get, path = "/api/v1/repos/{id}/secrets", tag = "api", operation_id = "listSecrets",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function.")),
    responses(
        (status = 200, description = "All of them.", body = Page<api::Secret>),
        WithScope,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    OwnedRepo { entry, .. }: OwnedRepo,
    State(secret_store): State<Arc<SecretStore>>,
) -> Result<Json<Page<api::Secret>>, ApiError> {
    let repo = entry.value.id;
    let mut items = Vec::new();
    for key in secret_store.secret_keys(repo).await? {
        if let Some(entry) = secret_store.secrets.get(&key).await?
            && let Some((_, name)) = key.split_once('.')
        {
            items.push(shown(name, &entry));
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(Page::whole(items)))
}

/// Remove a secret.
#[utoipa::path(
    delete, path = "/api/v1/repos/{id}/secrets/{name}", tag = "api", operation_id = "removeSecret",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function."), ("name" = String, Path, description = "The name of the variable.")),
    responses(
        (status = 204, description = "Removed."),
        (status = 409, description = "Changed in between.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn remove(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(audit): State<AuditLog>,
    State(budgets): State<Arc<Budgets>>,
    State(secret_store): State<Arc<SecretStore>>,
    Path((_, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let repo = entry.value;
    let missing = || ApiError::NotFound("secret");
    let key = Some(&name).filter(|name| is_name(name)).map(|name| key(repo.id, name)).ok_or_else(missing)?;
    let entry = secret_store.secrets.get(&key).await?.ok_or_else(missing)?;
    secret_store.secrets.delete(&key, entry.revision).await?;
    secret_store.sizes.forget(&key);
    budgets.release(repo.owner, &key);
    tracing::info!(repo = %repo.id, name, user = %caller.user.id, "a secret was removed");
    audit.write(&caller, Action::SecretRemoved, &key).await;
    Ok(StatusCode::NO_CONTENT)
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
