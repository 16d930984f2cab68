//! `/api/v1/repos`: registrations over REST. What one gives a repository is in [`crate::registration`].

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jobs::accounts::Scope;
use serde::Serialize;

use crate::{
    at_forge::WebhookTold,
    body::Wanted,
    error::ApiError,
    gateway::Gateway,
    registration::Wishes,
    view::{List, RepoView},
};

/// `POST /api/v1/repos`
pub(crate) async fn add(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let (entry, secret, webhook) = gateway.register(&caller, wishes).await?;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was registered");
    gateway.fill_soon(&entry.value);
    let mut view = RepoView::of(&entry.value, &gateway.public_url);
    view.secret = Some(secret.expose().to_owned());
    view.webhook = webhook;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// `GET /api/v1/repos`: newest first.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Json<List<RepoView>>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    caller.needs(Scope::JobsRead)?;
    let mut found = gateway.repos.find(|repo| caller.owns(repo));
    found.sort_by_key(|entry| std::cmp::Reverse(entry.value.id));
    let items = found.iter().map(|entry| RepoView::of(&entry.value, &gateway.public_url)).collect();
    Ok(Json(List { items, next: None }))
}

/// `GET /api/v1/repos/{id}`
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RepoView>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    caller.needs(Scope::JobsRead)?;
    let entry = gateway.own_repo(&caller, &id).await?;
    Ok(Json(RepoView::of(&entry.value, &gateway.public_url)))
}

/// `PATCH /api/v1/repos/{id}`
pub(crate) async fn change(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Json<RepoView>, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let (entry, webhook) = gateway.change(&caller, &id, wishes).await?;
    Ok(Json(RepoView { webhook, ..RepoView::of(&entry.value, &gateway.public_url) }))
}

/// What became of the webhook at the forge.
#[derive(Serialize)]
struct Removed {
    webhook: WebhookTold,
}

/// `DELETE /api/v1/repos/{id}`: its jobs stay, its hook is unknown from now on. The webhook that was made
/// for it at the forge is removed there.
pub(crate) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let entry = gateway.own_repo(&caller, &id).await?;
    let webhook = gateway.remove_webhook(&entry.value).await;
    gateway.unregister(entry.clone()).await?;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was removed");
    Ok(match webhook {
        Some(webhook) => Json(Removed { webhook }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
