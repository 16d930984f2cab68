//! `/api/v1/jobs`: submit, look, cancel, rerun.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use jobs::{
    Job, JobId,
    accounts::Scope,
    api::{self, ListJobs, Page, SubmitJob, WaitForJob},
    audit::Action,
    bucket::Entry,
};

use crate::{
    api::{
        responses::{BadRequest, NotFound, WithBody, WithScope},
        view,
    },
    audit::AuditLog,
    auth::{
        access_watch::JobAccess,
        rights::{AnyScope, Caller, JobsRead, OwnJob, ReadJob, Reader},
    },
    error::ApiError,
    extract::{JsonBody, Query},
    http::{credentials::presented_token, layers::MAX_WAIT_S, rate_limit::LimitKey},
    index::JobFilter,
    jobs::Jobs,
    state::Gateway,
    usage::Budgets,
};

/// Items of a page unless asked otherwise, and at most.
pub(crate) const PAGE: (usize, usize) = (50, 200);
/// Records read at once for a list.
const READ_AT_ONCE: usize = 32;

/// Submit a job.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "api", operation_id = "submitJob",
    params(WaitForJob, ("Idempotency-Key" = Option<String>, Header, description = "For 24 h and one user the same key is the same job: 1 to 255 bytes.")),
    request_body = SubmitJob,
    responses(
        (status = 200, description = "The finished job, with `wait`.", body = api::Job, headers(("Location" = String, description = "The job."))),
        (status = 202, description = "The job so far.", body = api::Job, headers(("Location" = String, description = "The job."))),
        (status = 422, description = "The Idempotency-Key was used for another request.", body = api::Error),
        WithScope,
        WithBody,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn submit(
    caller: Caller<AnyScope>,
    State(gateway): State<Gateway>,
    Query(WaitForJob { wait }): Query<WaitForJob>,
    headers: HeaderMap,
    JsonBody(call): JsonBody<SubmitJob>,
) -> Result<Response, ApiError> {
    let key = headers.get("idempotency-key");
    let key = key.map(|key| key.to_str()).transpose();
    let key = key.map_err(|_| ApiError::BadRequest("Idempotency-Key: not ASCII".to_owned()))?;
    let mut entry = gateway.jobs.call(&caller, &call, key).await?;
    // Who waits for too many jobs already is answered as if the time were up.
    let waits = wait
        .and_then(|seconds| Some((seconds, gateway.limits.acquire_wait(LimitKey::User(caller.user.id))?)));
    if let Some((seconds, _waits)) = waits {
        let wait = Duration::from_secs(seconds.min(MAX_WAIT_S));
        let (user, token) = (caller.user.id, presented_token(&headers).unwrap_or_default());
        let access = JobAccess::Token { user, token, scope: Scope::JobsWrite };
        let job = entry.value.clone();
        entry = tokio::select! {
            ended = gateway.jobs.ended(entry, wait, &gateway.stop) => ended?,
            over = gateway.access.until_revoked(&access, &job) => return Err(over),
        };
    }
    let done = wait.is_some() && entry.value.status.state.is_final();
    let status = if done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/jobs/{}", entry.value.spec.id);
    Ok((status, [(header::LOCATION, location)], Json(api::Job::from(&entry))).into_response())
}

/// Jobs, newest first.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "api", operation_id = "listJobs",
    params(ListJobs),
    responses(
        (status = 200, description = "A page.", body = Page<api::Job>),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(params): Query<ListJobs>,
) -> Result<Json<Page<api::Job>>, ApiError> {
    let mut filter = gateway.access.visible_jobs(&caller);
    if let Some(repo) = &params.repo {
        let repo = gateway.access.visible_repo(&caller, repo).await?.value.id;
        filter = JobFilter { repos: vec![repo], ..JobFilter::default() };
    }
    filter.state = params.state;
    let limit = params.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let (entries, next) = page(&gateway, &filter, params.cursor, limit).await?;
    let items = entries.iter().map(api::Job::from).collect();
    Ok(Json(Page { items, next: next.map(|id| id.to_string()) }))
}

/// A page of records, and the cursor of the next.
pub(crate) async fn page(
    gateway: &Gateway,
    filter: &JobFilter,
    cursor: Option<JobId>,
    limit: usize,
) -> Result<(Vec<Entry<Job>>, Option<JobId>), ApiError> {
    let ids = {
        let filter = filter.clone();
        gateway.index.run(move |tables| tables.jobs(&filter, cursor, limit)).await?
    };
    let next = ids.last().copied().filter(|_| ids.len() == limit);
    let read = stream::iter(ids.iter().copied()).map(|id| gateway.ledger.job(id)).buffered(READ_AT_ONCE);
    let found: Vec<Option<Entry<Job>>> = read.try_collect().await?;
    let mut entries = Vec::with_capacity(found.len());
    for (id, entry) in ids.into_iter().zip(found) {
        match entry {
            // The index may be a moment behind the record.
            Some(entry) if filter.state.is_none_or(|state| entry.value.status.state == state) => {
                match filter.everyone {
                    true => entries.push(entry),
                    false => entries.extend(gateway.job_records.verified(entry)),
                }
            }
            Some(_) => {}
            None => gateway.index.run(move |tables| tables.forget_job(id)).await?,
        }
    }
    Ok((entries, next))
}

/// A job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "api", operation_id = "getJob",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job.", body = api::Job),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = []), ("link" = [])),
)]
pub(crate) async fn get(
    ReadJob { entry, .. }: ReadJob,
    State(gateway): State<Gateway>,
) -> Result<Json<api::Job>, ApiError> {
    let status = gateway.registrations.status_view(&entry).await?;
    let input = view::job_input(&gateway, &entry).await?;
    Ok(Json(api::Job { status, input, ..api::Job::from(&entry) }))
}

/// End a job; one that is over stays as it is.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "api", operation_id = "cancelJob",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job.", body = api::Job),
        (status = 409, description = "It was changed in between.", body = api::Error),
        WithScope,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn cancel(
    OwnJob { caller, entry }: OwnJob,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<api::Job>, ApiError> {
    let ended = jobs.cancel_for(&caller, entry.value.spec.id).await?;
    Ok(Json(api::Job::from(&ended)))
}

/// Removes a job that is over: its record, log, result and input.
#[utoipa::path(
    delete, path = "/api/v1/jobs/{id}", tag = "api", operation_id = "removeJob",
    params(("id" = String, Path, format = Uuid, description = "The job.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "The job is not over.", body = api::Error),
        WithScope,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn remove(
    OwnJob { caller, entry }: OwnJob,
    State(audit): State<AuditLog>,
    State(budgets): State<Arc<Budgets>>,
) -> Result<StatusCode, ApiError> {
    if !budgets.delete_job(&entry).await? {
        return Err(ApiError::Conflict("the job is not over; cancel it first".to_owned()));
    }
    audit.write(&caller, Action::JobRemoved, entry.value.spec.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Run a job again, as a new one.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/rerun", tag = "api", operation_id = "rerunJob",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 202, description = "The new job.", body = api::Job, headers(("Location" = String, description = "The job."))),
        (status = 409, description = "The repository is being removed, the job is from before records were signed, or its input is not kept any more.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn rerun(
    OwnJob { caller, entry }: OwnJob,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Response, ApiError> {
    let entry = jobs.rerun_for(&caller, &entry).await?;
    let location = format!("/api/v1/jobs/{}", entry.value.spec.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(api::Job::from(&entry))).into_response())
}
