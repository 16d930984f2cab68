//! `/api/v1/repos`: registrations over REST. What one gives a repository is in [`crate::repos::register`].

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::{
    Repo,
    api::{self, OpenEnum, OtherRegistration, Page, ProblemAbout, RemovedRepo, RepoRequest, ShownRepo},
    audit::Action,
    bucket::Entry,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{AllOfBuilder, ObjectBuilder, Schema},
    },
};

use crate::{
    api::{
        responses::{BadRequest, NotFound, WithBody, WithScope},
        view,
    },
    audit::AuditLog,
    auth::{
        identity::{Access, Identity},
        rights::{Caller, JobsRead, OwnedRepo, Reader, Repos},
    },
    error::ApiError,
    extract::JsonBody,
    repos::{
        Registrations,
        problems::{FIX_SECRET, reports_status},
        removal::Removal,
        request,
    },
    state::Gateway,
};

/// A new registration: like a change, with its URL.
struct NewRepo;

impl PartialSchema for NewRepo {
    fn schema() -> RefOr<Schema> {
        let request = Ref::from_schema_name(api::RepoRequest::name());
        AllOfBuilder::new().item(request).item(ObjectBuilder::new().required("url")).into()
    }
}

impl ToSchema for NewRepo {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((api::RepoRequest::name().into_owned(), api::RepoRequest::schema()));
        api::RepoRequest::schemas(schemas);
    }
}

/// Register a repository.
#[utoipa::path(
    post, path = "/api/v1/repos", tag = "api", operation_id = "addRepo",
    request_body = NewRepo,
    responses(
        (status = 201, description = "The registration, with its secret.", body = api::Repo),
        (status = 409, description = "The name of its function is taken, or another request registered it at the same time.", body = api::Error),
        (status = 422, description = "The forge refuses the token, and `token_must_work` was asked for: code `token_refused`. Nothing is registered.", body = api::Error),
        WithScope,
        WithBody,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn add(
    caller: Caller<Repos>,
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<RepoRequest>,
) -> Result<Response, ApiError> {
    let (entry, secret, webhook) = gateway.registrations.register(&caller, request).await?;
    gateway.audit.write(&caller, Action::RepoAdded, entry.value.id).await;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, "a repository was registered");
    gateway.ref_poll.record_baseline_in_background(&entry.value);
    let mut view = shown_repo(&gateway, &caller, &entry.value);
    view.also_registered = also_registered(&gateway, &caller, &entry.value);
    view.secret = Some(secret.expose().to_owned());
    view.webhook = webhook.map(OpenEnum::Known);
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Registrations, newest first.
#[utoipa::path(
    get, path = "/api/v1/repos", tag = "api", operation_id = "listRepos",
    responses(
        (status = 200, description = "All of them.", body = Page<ShownRepo>),
        WithScope,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
) -> Result<Json<Page<ShownRepo>>, ApiError> {
    let mut found = gateway.repos.find(|repo| caller.can_view(repo));
    found.sort_by_key(|entry| std::cmp::Reverse(entry.value.id));
    let items = found.iter().map(|entry| shown_to(&gateway, &caller, &entry.value)).collect();
    Ok(Json(Page::whole(items)))
}

/// A registration; to its viewers only which one it is.
#[utoipa::path(
    get, path = "/api/v1/repos/{id}", tag = "api", operation_id = "getRepo",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function.")),
    responses(
        (status = 200, description = "The registration.", body = ShownRepo),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn get(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<ShownRepo>, ApiError> {
    let entry = gateway.access.visible_repo_with_removing(&caller, &id).await?;
    Ok(Json(shown_to(&gateway, &caller, &entry.value)))
}

/// Change a registration; what is absent stays.
#[utoipa::path(
    patch, path = "/api/v1/repos/{id}", tag = "api", operation_id = "changeRepo",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function.")),
    request_body = api::RepoRequest,
    responses(
        (status = 200, description = "The registration.", body = api::Repo),
        (status = 409, description = "Changed in between, or the name of its function is taken.", body = api::Error),
        WithScope,
        WithBody,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn change(
    OwnedRepo { caller, entry }: OwnedRepo,
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<RepoRequest>,
) -> Result<Json<api::Repo>, ApiError> {
    let fields = request::named_fields(&request);
    let (entry, webhook) = gateway.registrations.change(&caller, entry, request).await?;
    gateway.audit.write_with(&caller, Action::RepoChanged, entry.value.id, Some(fields)).await;
    let webhook = webhook.map(OpenEnum::Known);
    Ok(Json(api::Repo { webhook, ..shown_repo(&gateway, &caller, &entry.value) }))
}

/// Remove a registration; its jobs stay.
///
/// Its webhook is unknown from then on; one that was made for it at the forge is removed there.
#[utoipa::path(
    delete, path = "/api/v1/repos/{id}", tag = "api", operation_id = "removeRepo",
    params(("id" = String, Path, description = "The repository: its id, or the name of its function.")),
    responses(
        (status = 200, description = "Removed; `webhook`: what became of the webhook that was made at the forge.", body = RemovedRepo),
        (status = 202, description = "It goes once its open jobs are cancelled and the forge was told, after 10 minutes at most: `removing` and `cancelled`.", body = RemovedRepo),
        (status = 204, description = "Removed; no webhook was made for it at the forge."),
        (status = 409, description = "Changed in between.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn remove(
    caller: Caller<Repos>,
    State(access): State<Arc<Access>>,
    State(audit): State<AuditLog>,
    State(registrations): State<Arc<Registrations>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = access.visible_repo_with_removing(&caller, &id).await?;
    if !caller.owns(&entry.value) {
        return Err(ApiError::Forbidden("only an owner of the repository may do that".to_owned()));
    }
    let webhook = match entry.value.is_removing() {
        true => None,
        false => registrations.remove_webhook(&entry.value).await.map(OpenEnum::Known),
    };
    let removal = registrations.unregister(entry.clone()).await?;
    audit.write(&caller, Action::RepoRemoved, entry.value.id).await;
    tracing::info!(repo = %entry.value.id, user = %caller.user.id, ?removal, "repository unregistered");
    Ok(match (removal, webhook) {
        (Removal::Removing { cancelled }, webhook) => {
            let told = RemovedRepo { webhook, removing: true, cancelled: Some(cancelled) };
            (StatusCode::ACCEPTED, Json(told)).into_response()
        }
        (Removal::Gone, webhook @ Some(_)) => {
            Json(RemovedRepo { webhook, removing: false, cancelled: None }).into_response()
        }
        (Removal::Gone, None) => StatusCode::NO_CONTENT.into_response(),
    })
}

/// A repository, as its owners see it.
fn shown_repo(gateway: &Gateway, caller: &Identity, repo: &Repo) -> api::Repo {
    let mut view = api::Repo {
        viewers: gateway.registrations.viewer_list(repo),
        posts_reason: gateway.registrations.why_not_reporting(repo, Some(caller)),
        ..view::repo(repo, &gateway.public_url)
    };
    if let Some(rejected) = gateway.deliveries.rejected.summary(repo.id) {
        view.problems.push(api::Problem {
            about: ProblemAbout::Signature.into(),
            message: format!(
                "{} deliveries were not believed, the last at {}: {}",
                rejected.count,
                rejected.last_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
                rejected.reason
            ),
            since: rejected.first_at,
            fix: FIX_SECRET.to_owned(),
        });
    }
    view
}

/// Other registrations of the same repository.
fn also_registered(gateway: &Gateway, caller: &Identity, repo: &Repo) -> Vec<OtherRegistration> {
    let shown = |entry: Entry<Repo>| {
        let may_know = caller.can_view(&entry.value);
        let owner = gateway.users.find(|user| user.id == entry.value.owner);
        OtherRegistration {
            id: may_know.then_some(entry.value.id),
            owner: owner.first().filter(|_| may_know).map(|user| user.value.email.clone()),
            posts: reports_status(&entry.value),
        }
    };
    gateway.registrations.registrations_of(repo).into_iter().map(shown).collect()
}

fn shown_to(gateway: &Gateway, caller: &Identity, repo: &Repo) -> ShownRepo {
    if caller.owns(repo) {
        return ShownRepo::Owned(Box::new(shown_repo(gateway, caller, repo)));
    }
    ShownRepo::Viewed(view::viewed_repo(repo))
}
