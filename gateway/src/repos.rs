//! `/api/v1/repos`: registrations over REST. What one gives a repository is in [`crate::registration`].

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jobs::{Repo, accounts::Scope, audit::Action};
use serde::Serialize;

use crate::{
    at_forge::WebhookTold,
    auth::Caller,
    body::Wanted,
    error::ApiError,
    gateway::Gateway,
    registration::Wishes,
    view::{List, RepoView, ViewedRepo},
};

/// `POST /api/v1/repos`
pub(crate) async fn add(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let most = gateway.config.limits.max_repos_per_user;
    if gateway.repos.find(|repo| repo.owner == caller.user.id).len() >= most {
        return Err(ApiError::TooMany(format!("{most} repositories are the limit; remove one")));
    }
    let (entry, secret, webhook) = gateway.register(&caller, wishes).await?;
    gateway.audit(&caller, Action::RepoAdded, entry.value.id).await;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was registered");
    gateway.fill_soon(&entry.value);
    let mut view = gateway.shown_repo(&entry.value);
    view.secret = Some(secret.expose().to_owned());
    view.webhook = webhook;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// What is shown of a repository: all of it to its owners, which one it is to its viewers.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Shown {
    Owned(Box<RepoView>),
    Viewed(ViewedRepo),
}

/// `GET /api/v1/repos`: newest first.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Json<List<Shown>>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    caller.needs(Scope::JobsRead)?;
    let mut found = gateway.repos.find(|repo| caller.sees(repo));
    found.sort_by_key(|entry| std::cmp::Reverse(entry.value.id));
    let items = found.iter().map(|entry| gateway.shown_to(&caller, &entry.value)).collect();
    Ok(Json(List { items, next: None }))
}

/// `GET /api/v1/repos/{id}`
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Shown>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    caller.needs(Scope::JobsRead)?;
    let entry = gateway.seen_repo(&caller, &id).await?;
    Ok(Json(gateway.shown_to(&caller, &entry.value)))
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
    let fields = wishes.fields();
    let (entry, webhook) = gateway.change(&caller, &id, wishes).await?;
    gateway.audit_with(&caller, Action::RepoChanged, entry.value.id, Some(fields)).await;
    Ok(Json(RepoView { webhook, ..gateway.shown_repo(&entry.value) }))
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
    gateway.audit(&caller, Action::RepoRemoved, entry.value.id).await;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was removed");
    Ok(match webhook {
        Some(webhook) => Json(Removed { webhook }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

impl Gateway {
    /// A repository, as its owners see it.
    fn shown_repo(&self, repo: &Repo) -> RepoView {
        RepoView { viewers: self.viewers_shown(&repo.viewers), ..RepoView::of(repo, &self.public_url) }
    }

    fn shown_to(&self, caller: &Caller, repo: &Repo) -> Shown {
        if caller.owns(repo) {
            return Shown::Owned(Box::new(self.shown_repo(repo)));
        }
        Shown::Viewed(ViewedRepo::of(repo))
    }
}
