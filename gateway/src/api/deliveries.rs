//! `/api/v1/deliveries`: what forges sent, what was decided, and once more.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;
use jobs::{
    Delivery, Verdict,
    api::{self, ApproveDelivery, ListDeliveries},
    audit::Action,
    bucket::Entry,
};

use crate::{
    api::{
        jobs::PAGE,
        responses::{BadRequest, NotFound, WithBody, WithScope},
        view,
    },
    auth::rights::{Caller, JobsRead, JobsWrite, Reader},
    deliveries::Deliveries,
    error::ApiError,
    extract::{JsonBody, Query},
    index::DeliveryFilter,
    state::Gateway,
};

/// Entries read at once for a list.
const READ_AT_ONCE: usize = 32;

/// Signed deliveries, newest first.
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "api", operation_id = "listDeliveries",
    params(ListDeliveries),
    responses(
        (status = 200, description = "A page.", body = api::Deliveries),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(params): Query<ListDeliveries>,
) -> Result<Json<api::Deliveries>, ApiError> {
    let filter = match &params.repo {
        Some(repo) => DeliveryFilter::Repos(vec![gateway.access.owned_repo(&caller, repo).await?.value.id]),
        None if caller.is_admin() => DeliveryFilter::Everyone,
        None => {
            let repos = gateway.repos.find(|repo| caller.owns(repo));
            DeliveryFilter::Repos(repos.into_iter().map(|entry| entry.value.id).collect())
        }
    };
    let limit = params.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let keys = {
        let (filter, cursor) = (filter.clone(), params.cursor.clone());
        gateway.index.run(move |tables| tables.deliveries(&filter, cursor.as_deref(), limit)).await?
    };
    let next = keys.last().cloned().filter(|_| keys.len() == limit);
    let bucket = &gateway.ledger.deliveries;
    let read = stream::iter(keys).map(|key| async move { bucket.get(&key).await }).buffered(READ_AT_ONCE);
    let found: Vec<Option<Entry<Delivery>>> = read.try_collect().await?;
    let unsigned = match &filter {
        DeliveryFilter::Everyone => Some(gateway.deliveries.rejected.all()),
        DeliveryFilter::Repos(repos) => {
            Some(gateway.deliveries.rejected.of(repos)).filter(|refused| !refused.is_empty())
        }
    };
    Ok(Json(api::Deliveries { items: found.iter().flatten().map(view::delivery).collect(), next, unsigned }))
}

/// A delivery, for those who may decide about it.
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "api", operation_id = "getDelivery",
    params(("id" = String, Path, description = "The delivery.")),
    responses(
        (status = 200, description = "The delivery.", body = api::Delivery),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn get(
    caller: Reader<JobsRead>,
    State(deliveries): State<Arc<Deliveries>>,
    Path(id): Path<String>,
) -> Result<Json<api::Delivery>, ApiError> {
    let entry = deliveries.find_decidable(&caller, &id).await?;
    Ok(Json(view::delivery(&entry)))
}

/// Judge a kept delivery anew.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/replay", tag = "api", operation_id = "replayDelivery",
    params(("id" = String, Path, description = "The delivery.")),
    responses(
        (status = 202, description = "The new delivery.", body = api::Delivery),
        (status = 409, description = "Nothing of it was kept.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn replay(
    caller: Caller<JobsWrite>,
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = gateway.deliveries.find_decidable(&caller, &id).await?;
    let key = match entry.value.repo {
        Some(repo) => {
            let found = gateway.access.repo(&repo.to_string()).await?;
            let repo = found.ok_or(ApiError::NotFound("delivery"))?;
            gateway.deliveries.replay(&entry, &repo.value).await?.key
        }
        None => gateway.deliveries.replay_installation(&entry).await?,
    };
    gateway.audit.write_with(&caller, Action::DeliveryReplayed, &key, Some(entry.key.clone())).await;
    let written = gateway.ledger.deliveries.get(&key).await?.ok_or(ApiError::NotFound("delivery"))?;
    gateway.metrics.delivery(written.value.verdict.unwrap_or(Verdict::Accepted));
    Ok((StatusCode::ACCEPTED, Json(view::delivery(&written))).into_response())
}

/// Let a held delivery run: a pull request at this commit, or an installation of the GitHub App (admins; no commit).
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/approve", tag = "api", operation_id = "approveDelivery",
    params(("id" = String, Path, description = "The delivery.")),
    request_body = ApproveDelivery,
    responses(
        (status = 202, description = "The delivery.", body = api::Delivery),
        (status = 409, description = "It is not held, another commit is named, or a newer one is known.", body = api::Error),
        WithScope,
        WithBody,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn approve(
    caller: Caller<JobsWrite>,
    State(deliveries): State<Arc<Deliveries>>,
    Path(id): Path<String>,
    JsonBody(approval): JsonBody<ApproveDelivery>,
) -> Result<Response, ApiError> {
    let held = deliveries.find_decidable(&caller, &id).await?;
    let done = deliveries.approve(&caller, held, approval.sha.as_ref()).await?;
    Ok((StatusCode::ACCEPTED, Json(view::delivery(&done))).into_response())
}
