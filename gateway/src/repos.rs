//! `/api/v1/repos`: registering a repository, and what that gives it.
//!
//! Credentials come in here alone: the operator's when an admin registers a repository of GitHub's,
//! else the token that is given with the registration, sealed. Of several registrations of one
//! repository one posts statuses; the entry `at.<sha256(host, path)>` tells which.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use hooks::{CloneUrl, Forge};
use http::{HeaderMap, StatusCode};
use jobs::{
    Filter, Label, Links, Repo, RepoEvent, RepoId, Secret,
    accounts::Scope,
    bucket::{BucketError, Entry},
};
use serde::Deserialize;
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::{
    auth::Caller,
    body::Wanted,
    error::ApiError,
    gateway::{At, Gateway},
    submit::clone_url,
    view::{List, RepoView},
};

/// Globs of one list: a registration stays small enough to be read with every delivery.
const MAX_GLOBS: usize = 100;
/// The longest name of a registration, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The longest token taken, in bytes; those of the forges are far shorter.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a registration says; in a change, what is absent stays.
#[derive(Deserialize)]
pub(crate) struct Wishes {
    url: Option<String>,
    forge: Option<Forge>,
    name: Option<String>,
    branches: Option<Filter>,
    paths: Option<Filter>,
    events: Option<Vec<RepoEvent>>,
    links: Option<Links>,
    label: Option<Label>,
    token: Option<String>,
}

impl Wishes {
    fn check(&self) -> Result<(), ApiError> {
        let wrong = |what: String| Err(ApiError::BadRequest(what));
        if self.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
            return wrong(format!("name: longer than {MAX_NAME_BYTES} bytes"));
        }
        for (field, filter) in [("branches", &self.branches), ("paths", &self.paths)] {
            let count = filter.as_ref().map_or(0, |filter| {
                serde_json::to_value(filter).map_or(0, |value| value.as_array().map_or(0, Vec::len))
            });
            if count > MAX_GLOBS {
                return wrong(format!("{field}: more than {MAX_GLOBS} globs"));
            }
        }
        if self.token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
            return wrong(format!("token: longer than {MAX_TOKEN_BYTES} bytes"));
        }
        Ok(())
    }
}

/// The key under which the registration that posts is found.
pub(crate) fn at_key(url: &CloneUrl) -> String {
    format!("at.{}", hex::encode(Sha256::digest(url.identity().as_bytes())))
}

/// What a repository's webhook secret is sealed for.
pub(crate) fn secret_place(repo: RepoId) -> String {
    format!("{repo}.secret")
}

/// What a repository's token is sealed for.
pub(crate) fn token_place(repo: RepoId) -> String {
    format!("{repo}.token")
}

impl Gateway {
    /// Which forge a repository is on. That a foreign host is GitHub's is an admin's word, because
    /// the operator's credential goes there then.
    fn forge(&self, caller: &Caller, url: &CloneUrl, wish: Option<Forge>) -> Result<Forge, ApiError> {
        let is_githubs = url.authority() == self.config.github.authority();
        match wish {
            Some(Forge::Github) if !is_githubs && !caller.is_admin() => {
                Err(ApiError::Forbidden("only an admin may say that another host is GitHub's".to_owned()))
            }
            Some(forge) => Ok(forge),
            None if is_githubs => Ok(Forge::Github),
            None => Ok(match url.host() {
                "gitlab.com" => Forge::Gitlab,
                "codeberg.org" | "gitea.com" => Forge::Gitea,
                _ => Forge::Plain,
            }),
        }
    }

    /// Makes this registration the one that posts, unless another is. An entry that leads to a
    /// registration that is gone is taken over.
    async fn take_place(&self, url: &CloneUrl, repo: RepoId) -> Result<bool, BucketError> {
        let key = at_key(url);
        let at = At { repo, other: Map::new() };
        loop {
            match self.posting.create(&key, &at).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
            let Some(found) = self.posting.get(&key).await? else { continue };
            if found.value.repo == repo {
                return Ok(true);
            }
            if self.ledger.repos.get(&found.value.repo.to_string()).await?.is_some() {
                return Ok(false);
            }
            match self.posting.update(&key, &at, found.revision).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn leave_place(&self, repo: &Repo) -> Result<(), ApiError> {
        let Ok(url) = repo.url.parse::<CloneUrl>() else { return Ok(()) };
        let key = at_key(&url);
        if let Some(found) = self.posting.get(&key).await?
            && found.value.repo == repo.id
        {
            self.posting.delete(&key, found.revision).await?;
        }
        Ok(())
    }

    /// Whether this registration has a credential that may be used.
    fn has_credential(&self, repo: &Repo) -> bool {
        let forge_takes_statuses = repo.forge != Forge::Plain.to_string();
        let operators = repo.operator_credential && self.config.github.token.is_some();
        forge_takes_statuses && (operators || repo.sealed_token.is_some())
    }

    /// Registers a repository; the secret is told here and never again.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        wishes: Wishes,
    ) -> Result<(Entry<Repo>, Secret), ApiError> {
        wishes.check()?;
        let url = wishes.url.as_deref().ok_or_else(|| ApiError::BadRequest("url is missing".to_owned()))?;
        let url = clone_url(url)?;
        let forge = self.forge(caller, &url, wishes.forge)?;
        let id = RepoId::new();
        let secret: Secret =
            hex::encode(rand::random::<[u8; 32]>()).parse().expect("hex digits are a secret");
        let mut repo = Repo {
            id,
            owner: caller.user.id,
            viewers: Vec::new(),
            name: wishes.name.filter(|name| !name.is_empty()),
            url: url.to_string(),
            forge: forge.to_string(),
            forge_id: None,
            events: wishes.events.unwrap_or_else(|| vec![RepoEvent::Push, RepoEvent::Tag]),
            branches: wishes.branches.unwrap_or_default(),
            paths: wishes.paths.unwrap_or_default(),
            label: wishes.label.unwrap_or_default(),
            links: wishes.links.unwrap_or_default(),
            sealed_secret: self.keys.seal(&secret_place(id), &secret),
            sealed_token: self.sealed_token(id, wishes.token.as_deref()),
            operator_credential: caller.is_admin() && forge == Forge::Github,
            installation: None,
            posts: false,
            other: Map::new(),
        };
        repo.posts = self.has_credential(&repo) && self.take_place(&url, id).await?;
        self.ledger.repos.create(&id.to_string(), &repo).await?;
        let entry = self.ledger.repos.get(&id.to_string()).await?.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok((entry, secret))
    }

    fn sealed_token(&self, repo: RepoId, token: Option<&str>) -> Option<String> {
        let token: Secret = token?.trim().parse().ok()?;
        Some(self.keys.seal(&token_place(repo), &token))
    }

    /// Changes a registration; an empty token takes the old one away.
    async fn change(&self, caller: &Caller, id: &str, wishes: Wishes) -> Result<Entry<Repo>, ApiError> {
        wishes.check()?;
        let entry = self.own_repo(caller, id).await?;
        let url: CloneUrl = entry.value.url.parse().map_err(|_| ApiError::NotFound("repository"))?;
        if let Some(wanted) = wishes.url.as_deref()
            && !clone_url(wanted)?.same_repository(&url)
        {
            return Err(ApiError::BadRequest("url: another repository is another registration".to_owned()));
        }
        let mut repo = entry.value.clone();
        if let Some(forge) = wishes.forge {
            repo.forge = self.forge(caller, &url, Some(forge))?.to_string();
            repo.operator_credential = caller.is_admin() && forge == Forge::Github;
        }
        if let Some(token) = wishes.token.as_deref() {
            repo.sealed_token = self.sealed_token(repo.id, Some(token));
        }
        repo.name = wishes.name.or(repo.name).filter(|name| !name.is_empty());
        repo.branches = wishes.branches.unwrap_or(repo.branches);
        repo.paths = wishes.paths.unwrap_or(repo.paths);
        repo.events = wishes.events.unwrap_or(repo.events);
        repo.links = wishes.links.unwrap_or(repo.links);
        repo.label = wishes.label.unwrap_or(repo.label);
        repo.posts = self.has_credential(&repo) && self.take_place(&url, repo.id).await?;
        if entry.value.posts && !repo.posts {
            self.leave_place(&repo).await?;
        }
        self.ledger.repos.update(&entry.key, &repo, entry.revision).await?;
        let entry = self.ledger.repos.get(&entry.key).await?.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(entry)
    }
}

/// `POST /api/v1/repos`
pub(crate) async fn add(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let (entry, secret) = gateway.register(&caller, wishes).await?;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was registered");
    let mut view = RepoView::of(&entry.value, &gateway.public_url);
    view.secret = Some(secret.expose().to_owned());
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
    let entry = gateway.change(&caller, &id, wishes).await?;
    Ok(Json(RepoView::of(&entry.value, &gateway.public_url)))
}

/// `DELETE /api/v1/repos/{id}`: its jobs stay, its hook is unknown from now on.
pub(crate) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let caller = gateway.caller(&headers).await?;
    caller.needs(Scope::Repos)?;
    let entry = gateway.own_repo(&caller, &id).await?;
    gateway.ledger.repos.delete(&entry.key, entry.revision).await?;
    gateway.leave_place(&entry.value).await?;
    gateway.repos.forget(&entry.key);
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was removed");
    Ok(StatusCode::NO_CONTENT)
}
