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
    api::{self, ApproveDelivery, Deliveries as DeliveryList},
    audit::Action,
    bucket::Entry,
};
use serde::Deserialize;

use crate::{
    api::{jobs::PAGE, view},
    auth::rights::{Caller, JobsRead, JobsWrite, Reader},
    deliveries::Deliveries,
    error::ApiError,
    extract::{JsonBody, Query},
    index::DeliveryFilter,
    state::Gateway,
};

/// Entries read at once for a list.
const READ_AT_ONCE: usize = 32;

/// Of `GET /api/v1/deliveries`.
#[derive(Deserialize)]
pub(crate) struct Asked {
    repo: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/v1/deliveries`: newest first.
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(asked): Query<Asked>,
) -> Result<Json<DeliveryList>, ApiError> {
    let filter = match &asked.repo {
        Some(repo) => DeliveryFilter::Repos(vec![gateway.access.owned_repo(&caller, repo).await?.value.id]),
        None if caller.is_admin() => DeliveryFilter::Everyone,
        None => {
            let repos = gateway.repos.find(|repo| caller.owns(repo));
            DeliveryFilter::Repos(repos.into_iter().map(|entry| entry.value.id).collect())
        }
    };
    let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let keys = gateway.index.deliveries(&filter, asked.cursor.as_deref(), limit)?;
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
    Ok(Json(DeliveryList { items: found.iter().flatten().map(view::delivery).collect(), next, unsigned }))
}

/// `GET /api/v1/deliveries/{id}`: for those who may decide about it.
pub(crate) async fn get(
    caller: Reader<JobsRead>,
    State(deliveries): State<Arc<Deliveries>>,
    Path(id): Path<String>,
) -> Result<Json<api::Delivery>, ApiError> {
    let entry = deliveries.find_decidable(&caller, &id).await?;
    Ok(Json(view::delivery(&entry)))
}

/// `POST /api/v1/deliveries/{id}/replay`
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

/// `POST /api/v1/deliveries/{id}/approve`
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
