//! `/api/v1/jobs`: submit, look, cancel, rerun.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use jobs::{Job, JobId, accounts::Scope, audit::Action, bucket::Entry};
use serde::Deserialize;

use crate::{
    api::view::{JobView, List},
    audit::AuditLog,
    auth::{
        access_watch::JobAccess,
        rights::{AnyScope, Caller, JobsRead, OwnJob, ReadJob, Reader},
    },
    error::ApiError,
    extract::{JsonBody, Query},
    http::{credentials::presented_token, layers::MAX_WAIT_S},
    index::JobFilter,
    jobs::{Jobs, submit::Call},
    repos::Registrations,
    state::Gateway,
    usage::Budgets,
};

/// The record is read again after this long without news, in case one got lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Items of a page unless asked otherwise, and at most.
pub(crate) const PAGE: (usize, usize) = (50, 200);
/// Records read at once for a list.
const READ_AT_ONCE: usize = 32;

/// Of `POST /api/v1/jobs`.
#[derive(Deserialize)]
pub(crate) struct Waiting {
    wait: Option<u64>,
}

/// `POST /api/v1/jobs`
pub(crate) async fn submit(
    caller: Caller<AnyScope>,
    State(gateway): State<Gateway>,
    Query(Waiting { wait }): Query<Waiting>,
    headers: HeaderMap,
    JsonBody(call): JsonBody<Call>,
) -> Result<Response, ApiError> {
    let key = headers.get("idempotency-key");
    let key = key.map(|key| key.to_str()).transpose();
    let key = key.map_err(|_| ApiError::BadRequest("Idempotency-Key: not ASCII".to_owned()))?;
    let mut entry = gateway.jobs.call(&caller, &call, key).await?;
    // Who waits for too many jobs already is answered as if the time were up.
    let waits = wait.and_then(|seconds| Some((seconds, gateway.limits.acquire_wait(caller.user.id)?)));
    if let Some((seconds, _waits)) = waits {
        let wait = Duration::from_secs(seconds.min(MAX_WAIT_S));
        let (user, token) = (caller.user.id, presented_token(&headers).unwrap_or_default());
        let access = JobAccess::Token { user, token, scope: Scope::JobsWrite };
        let job = entry.value.clone();
        entry = tokio::select! {
            ended = ended(&gateway, entry, wait) => ended?,
            over = gateway.access.until_revoked(&access, &job) => return Err(over),
        };
    }
    let done = wait.is_some() && entry.value.state.is_final();
    let status = if done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/jobs/{}", entry.value.id);
    Ok((status, [(header::LOCATION, location)], Json(JobView::from(&entry))).into_response())
}

/// The record once it is final, or as it is when `wait` is over.
async fn ended(gateway: &Gateway, mut entry: Entry<Job>, wait: Duration) -> Result<Entry<Job>, ApiError> {
    let id = entry.value.id;
    let mut news = gateway.index.follow(id);
    let deadline = tokio::time::Instant::now() + wait;
    while let Some(now) = gateway.job_records.record(id).await? {
        entry = now;
        if entry.value.state.is_final() {
            break;
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = tokio::time::sleep_until(deadline) => break,
            () = gateway.stop.cancelled() => break,
        }
    }
    Ok(entry)
}

/// Of `GET /api/v1/jobs`.
#[derive(Deserialize)]
pub(crate) struct Asked {
    state: Option<jobs::State>,
    repo: Option<String>,
    limit: Option<usize>,
    cursor: Option<JobId>,
}

/// `GET /api/v1/jobs`
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(asked): Query<Asked>,
) -> Result<Json<List<JobView>>, ApiError> {
    let mut filter = gateway.access.visible_jobs(&caller);
    if let Some(repo) = &asked.repo {
        let repo = gateway.access.visible_repo(&caller, repo).await?.value.id;
        filter = JobFilter { repos: vec![repo], ..JobFilter::default() };
    }
    filter.state = asked.state;
    let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let (entries, next) = page(&gateway, &filter, asked.cursor, limit).await?;
    let items = entries.iter().map(JobView::from).collect();
    Ok(Json(List { items, next: next.map(|id| id.to_string()) }))
}

/// A page of records, and the cursor of the next.
pub(crate) async fn page(
    gateway: &Gateway,
    filter: &JobFilter,
    cursor: Option<JobId>,
    limit: usize,
) -> Result<(Vec<Entry<Job>>, Option<JobId>), ApiError> {
    let ids = gateway.index.jobs(filter, cursor, limit)?;
    let next = ids.last().copied().filter(|_| ids.len() == limit);
    let read = stream::iter(ids.iter().copied()).map(|id| gateway.ledger.job(id)).buffered(READ_AT_ONCE);
    let found: Vec<Option<Entry<Job>>> = read.try_collect().await?;
    let mut entries = Vec::with_capacity(found.len());
    for (id, entry) in ids.into_iter().zip(found) {
        match entry {
            // The index may be a moment behind the record.
            Some(entry) if filter.state.is_none_or(|state| entry.value.state == state) => {
                match filter.everyone {
                    true => entries.push(entry),
                    false => entries.extend(gateway.job_records.verified(entry)),
                }
            }
            Some(_) => {}
            None => gateway.index.forget_job(id)?,
        }
    }
    Ok((entries, next))
}

/// `GET /api/v1/jobs/{id}`
pub(crate) async fn get(
    ReadJob { entry, .. }: ReadJob,
    State(registrations): State<Arc<Registrations>>,
) -> Result<Json<JobView>, ApiError> {
    let status = registrations.status_view(&entry).await?;
    Ok(Json(JobView { status, ..JobView::from(&entry) }))
}

/// `POST /api/v1/jobs/{id}/cancel`: of one that is over already, the record as it is.
pub(crate) async fn cancel(
    OwnJob { caller, entry }: OwnJob,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<JobView>, ApiError> {
    let ended = jobs.cancel_for(&caller, entry.value.id).await?;
    Ok(Json(JobView::from(&ended)))
}

/// `DELETE /api/v1/jobs/{id}`: record, log and result of one that is over.
pub(crate) async fn remove(
    OwnJob { caller, entry }: OwnJob,
    State(audit): State<AuditLog>,
    State(budgets): State<Arc<Budgets>>,
) -> Result<StatusCode, ApiError> {
    if !budgets.delete_job(&entry).await? {
        return Err(ApiError::Conflict("the job is not over; cancel it first".to_owned()));
    }
    audit.write(&caller, Action::JobRemoved, entry.value.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/jobs/{id}/rerun`
pub(crate) async fn rerun(
    OwnJob { caller, entry }: OwnJob,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Response, ApiError> {
    let entry = jobs.rerun_for(&caller, &entry).await?;
    let location = format!("/api/v1/jobs/{}", entry.value.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(JobView::from(&entry))).into_response())
}
