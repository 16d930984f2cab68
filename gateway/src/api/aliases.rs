//! `/api/v1/repos/{id}/aliases`: names of versions that an owner moves by hand.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::{
    Repo,
    api::{self, OpenEnum, Page, SetAlias},
    audit::Action,
    function::{Alias, AliasName},
};

use crate::{
    api::responses::{BadRequest, NotFound, WithBody, WithScope},
    auth::{identity::Identity, rights::OwnedRepo},
    error::ApiError,
    extract::JsonBody,
    functions::aliases::{Change, Moved, Wanted},
    state::Gateway,
};

fn name(text: &str) -> Result<AliasName, ApiError> {
    text.parse().map_err(|error| ApiError::BadRequest(format!("alias: {error}")))
}

/// One that cannot be a name is none.
fn known(text: &str) -> Result<AliasName, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound("alias"))
}

fn wanted(request: SetAlias) -> Result<Wanted, ApiError> {
    match request {
        SetAlias { version: Some(version), follow: None } => Ok(Wanted::Version(version)),
        SetAlias { version: None, follow: Some(branch) } => Ok(Wanted::Follow(branch)),
        SetAlias { version: Some(_), follow: Some(_) } => {
            Err(ApiError::BadRequest("either `version` or `follow`, not both".to_owned()))
        }
        SetAlias { version: None, follow: None } => {
            Err(ApiError::BadRequest("`version` or `follow` is missing".to_owned()))
        }
    }
}

async fn shown(gateway: &Gateway, repo: &Repo, name: &str, alias: &Alias) -> Result<api::Alias, ApiError> {
    let email = |id| {
        let user = gateway.users.find(|user| user.id == id).pop();
        user.map(|entry| entry.value.email)
    };
    let history = alias.history.iter().map(|one| api::AliasMove {
        at: one.at,
        by: one.by,
        email: email(one.by),
        from: one.from.as_ref().map(Into::into),
        to: (&one.to).into(),
        kind: OpenEnum::Known(one.kind),
    });
    let history = history.collect();
    let api::AliasVersion { follow, .. } = (&alias.target).into();
    let sha = gateway.aliases.commit_of(repo.id, &alias.target).await?;
    Ok(api::Alias { name: name.to_owned(), sha, follow, history })
}

async fn audit(gateway: &Gateway, caller: &Identity, repo: &Repo, action: Action, moved: &Moved) {
    let from = moved.from.as_ref().map_or_else(String::new, |from| format!("{from} -> "));
    let detail = format!("{from}{}", moved.entry.value.target);
    tracing::info!(repo = %repo.id, alias = moved.entry.key, user = %caller.user.id, detail, "alias moved");
    gateway.audit.write_with(caller, action, &moved.entry.key, Some(detail)).await;
}

/// Aliases of a repository, by name, with their moves.
#[utoipa::path(
    get, path = "/api/v1/repos/{id}/aliases", tag = "api", operation_id = "listAliases",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function.")),
    responses(
        (status = 200, description = "All of them.", body = Page<api::Alias>),
        WithScope,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    OwnedRepo { entry, .. }: OwnedRepo,
    State(gateway): State<Gateway>,
) -> Result<Json<Page<api::Alias>>, ApiError> {
    let mut items = Vec::new();
    for (name, alias) in gateway.aliases.list(entry.value.id).await? {
        items.push(shown(&gateway, &entry.value, &name, &alias.value).await?);
    }
    Ok(Json(Page::whole(items)))
}

/// Make an alias, or move it; only to what is built.
#[utoipa::path(
    put, path = "/api/v1/repos/{id}/aliases/{alias}", tag = "api", operation_id = "setAlias",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function."), ("alias" = String, Path, description = "The alias.")),
    request_body = SetAlias,
    responses(
        (status = 200, description = "Moved, or there already.", body = api::Alias),
        (status = 201, description = "New.", body = api::Alias),
        (status = 409, description = "The version is not built: code `not_built`.", body = api::Error),
        WithScope,
        WithBody,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn set(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(gateway): State<Gateway>,
    Path((_, alias)): Path<(String, String)>,
    JsonBody(request): JsonBody<SetAlias>,
) -> Result<Response, ApiError> {
    let (repo, name, wanted) = (entry.value, name(&alias)?, wanted(request)?);
    let moved = gateway.aliases.set(repo.id, &name, &wanted, caller.user.id).await?;
    let status = match moved.change {
        Change::Created => StatusCode::CREATED,
        Change::Moved | Change::Unchanged => StatusCode::OK,
    };
    if moved.change != Change::Unchanged {
        audit(&gateway, &caller, &repo, Action::AliasSet, &moved).await;
    }
    let alias = shown(&gateway, &repo, name.as_str(), &moved.entry.value).await?;
    Ok((status, Json(alias)).into_response())
}

/// Move an alias back to what it stood for before.
///
/// Twice goes back two moves.
#[utoipa::path(
    post, path = "/api/v1/repos/{id}/aliases/{alias}/rollback", tag = "api", operation_id = "rollBackAlias",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function."), ("alias" = String, Path, description = "The alias.")),
    responses(
        (status = 200, description = "Moved back.", body = api::Alias),
        (status = 409, description = "Nothing earlier is known, or it is not built any more: code `not_built`.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn roll_back(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(gateway): State<Gateway>,
    Path((_, alias)): Path<(String, String)>,
) -> Result<Json<api::Alias>, ApiError> {
    let (repo, name) = (entry.value, known(&alias)?);
    let moved = gateway.aliases.roll_back(repo.id, &name, caller.user.id).await?;
    audit(&gateway, &caller, &repo, Action::AliasRolledBack, &moved).await;
    Ok(Json(shown(&gateway, &repo, name.as_str(), &moved.entry.value).await?))
}

/// Remove an alias, and the record of its moves.
#[utoipa::path(
    delete, path = "/api/v1/repos/{id}/aliases/{alias}", tag = "api", operation_id = "removeAlias",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function."), ("alias" = String, Path, description = "The alias.")),
    responses(
        (status = 204, description = "Removed."),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn remove(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(gateway): State<Gateway>,
    Path((_, alias)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (repo, name) = (entry.value, known(&alias)?);
    let stood_for = gateway.aliases.remove(repo.id, &name).await?;
    tracing::info!(repo = %repo.id, alias = %name, user = %caller.user.id, "alias removed");
    gateway
        .audit
        .write_with(&caller, Action::AliasRemoved, name.key(repo.id), Some(stood_for.to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}
