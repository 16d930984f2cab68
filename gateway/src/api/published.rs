//! The published interface: endpoints whose every byte other programs rely on.
//!
//! Its `GET` requests carry a JSON body; the same fields are taken from the query string. Errors have
//! their own shape ([`Published`]).

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode, header, request::Parts};
use jobs::{
    Job,
    api::{
        SubmitJob,
        published::{self, Averages, ListedJob, NamedJob, SendJob, SentData, SentJob, StatsRequest},
    },
    bucket::Entry,
};
use serde_json::{Map, Value};

use crate::{
    api::responses::{PublishedBody, PublishedRequest},
    auth::{
        identity::Identity,
        rights::{AnyScope, Caller, JobsRead, Right},
    },
    crypto::keys::equal,
    error::{ApiError, Published},
    extract::{read, without_byte_order_mark},
    http::{MAX_BODY_BYTES, client_ip},
    index::{Index, JobFilter},
    jobs::{Jobs, submit::clone_url},
    records::JobRecords,
    state::Gateway,
};

/// Entries of `/job/list-jobs`.
const MAX_LISTED: usize = 1000;
/// Records read at once for a list.
const READ_AT_ONCE: usize = 32;

/// The fields of a request: those of the query string, and over them those of the JSON body.
async fn fields(query: Option<&str>, body: Body) -> Result<Map<String, Value>, ApiError> {
    let query = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut fields: Map<String, Value> =
        query.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
    let bytes = read(body, MAX_BODY_BYTES).await?;
    let json = without_byte_order_mark(&bytes);
    if json.trim_ascii().is_empty() {
        return Ok(fields);
    }
    match serde_json::from_slice(json) {
        Ok(Value::Object(body)) => fields.extend(body),
        Ok(_) | Err(_) => return Err(ApiError::BadRequest("the body must be a JSON object".to_owned())),
    }
    Ok(fields)
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ApiError::BadRequest(format!("{name} must be a string"))),
    }
}

fn needed(fields: &Map<String, Value>, name: &str) -> Result<String, ApiError> {
    let found = text(fields, name)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| ApiError::BadRequest(format!("{name} is missing")))
}

/// The right `R`, whose refusal has the shape of the published interface.
pub(crate) struct AsPublished<R>(pub(crate) R);

impl<R: Right> Right for AsPublished<R> {}

impl<R, State> FromRequestParts<State> for AsPublished<R>
where
    R: FromRequestParts<State, Rejection = ApiError>,
    State: Send + Sync,
{
    type Rejection = Published;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Published> {
        R::from_request_parts(parts, state).await.map(Self).map_err(Published)
    }
}

/// Submit a job.
#[utoipa::path(
    post, path = "/job/send-job", tag = "published", operation_id = "sendJob",
    params(("URL" = Option<String>, Query, description = "Or in a JSON body."), ("name" = Option<String>, Query, description = "Or in a JSON body.")),
    request_body = Option<SendJob>,
    responses(
        (status = 200, description = "Queued.", body = SentJob),
        PublishedRequest,
        PublishedBody,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn send_job(
    AsPublished(caller): AsPublished<Caller<AnyScope>>,
    State(jobs): State<Arc<Jobs>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Published> {
    let fields = fields(query.as_deref(), body).await?;
    let url = needed(&fields, "URL")?;
    let call = SubmitJob {
        repo: clone_url(&url)?.to_string(),
        name: text(&fields, "name")?,
        ..SubmitJob::default()
    };
    let job = jobs.call(&caller, &call, None).await?.value.spec.id;
    Ok(Json(SentJob {
        message: format!("job added to the queue, with ID = {job}"),
        job_id: job.to_string(),
        data: SentData { git_url: url },
    })
    .into_response())
}

async fn named_job(
    gateway: &Gateway,
    caller: &Identity,
    query: Option<&str>,
    body: Body,
) -> Result<Entry<Job>, ApiError> {
    let fields = fields(query, body).await?;
    gateway.access.visible_job(caller, &needed(&fields, "jobID")?).await
}

/// State of a job, as text.
#[utoipa::path(
    get, path = "/job/job-status", tag = "published", operation_id = "jobStatus",
    params(("jobID" = Option<String>, Query, description = "Or in a JSON body.")),
    request_body = Option<NamedJob>,
    responses(
        (status = 200, description = "`pending`, `working`, `error` or `finish`.", body = String, content_type = "text/plain"),
        PublishedRequest,
        PublishedBody,
        (status = 404, description = "There is none, or the caller may not know of it.", body = published::Error),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn job_status(
    AsPublished(caller): AsPublished<Caller<JobsRead>>,
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<&'static str, Published> {
    Ok(named_job(&gateway, &caller, query.as_deref(), body).await?.value.status.state.as_str())
}

/// Standard output of a job; of a failed one why it failed.
#[utoipa::path(
    get, path = "/job/result", tag = "published", operation_id = "jobResult",
    params(("jobID" = Option<String>, Query, description = "Or in a JSON body.")),
    request_body = Option<NamedJob>,
    responses(
        (status = 200, description = "The output.", body = String, content_type = "text/plain"),
        PublishedRequest,
        PublishedBody,
        (status = 404, description = "There is none, or the caller may not know of it.", body = published::Error),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn result(
    AsPublished(caller): AsPublished<Caller<JobsRead>>,
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Published> {
    let entry = named_job(&gateway, &caller, query.as_deref(), body).await?;
    let bytes = published_result(&gateway, &entry.value).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    Ok((headers, bytes).into_response())
}

/// The program's output; of a failed job why it failed, then the last lines of its error output.
async fn published_result(gateway: &Gateway, job: &Job) -> Result<Bytes, ApiError> {
    match job.status.state {
        jobs::State::Pending | jobs::State::Working => Ok(Bytes::new()),
        jobs::State::Finish => match &job.status.result {
            Some(result) => Ok(gateway.ledger.results.fetch(job.spec.id, job.status.attempt, result).await?),
            None => Ok(job.status.message.clone().unwrap_or_default().into()),
        },
        jobs::State::Error => Ok(failure(job).into()),
    }
}

fn failure(job: &Job) -> String {
    let lines = [job.status.message.as_deref(), job.status.error_tail.as_deref()];
    lines.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

/// An entry of `/job/list-jobs`.
fn listed(job: &Job, email: &str) -> ListedJob {
    let result = match job.status.state {
        jobs::State::Pending | jobs::State::Working => None,
        // The beginning of a long one: all of it is at /job/result/.
        jobs::State::Finish => Some(match &job.status.result {
            Some(result) => String::from_utf8_lossy(&result.head()).into_owned(),
            None => job.status.message.clone().unwrap_or_default(),
        }),
        jobs::State::Error => Some(failure(job)),
    };
    ListedJob {
        job_id: job.spec.id.to_string(),
        status: job.status.state,
        user_id: email.to_owned(),
        url: job.spec.url.to_string(),
        name: job.spec.name.clone().unwrap_or_default(),
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
        elapsed_time: job.status.timings_ms.run.unwrap_or(0) as f64 / 1000.0,
        result,
    }
}

/// The caller's newest 1,000 jobs.
#[utoipa::path(
    get, path = "/job/list-jobs", tag = "published", operation_id = "listJobsPublished",
    responses(
        (status = 200, description = "The jobs.", body = Vec<ListedJob>),
        PublishedRequest,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list_jobs(
    AsPublished(caller): AsPublished<Caller<JobsRead>>,
    State(index): State<Arc<Index>>,
    State(job_records): State<Arc<JobRecords>>,
) -> Result<Response, Published> {
    let mine = JobFilter { owner: Some(caller.user.id), ..JobFilter::default() };
    let ids = index.run(move |tables| tables.jobs(&mine, None, MAX_LISTED)).await?;
    let found: Vec<Option<Entry<Job>>> =
        stream::iter(ids).map(|id| job_records.record(id)).buffered(READ_AT_ONCE).try_collect().await?;
    let list: Vec<ListedJob> =
        found.iter().flatten().map(|entry| listed(&entry.value, &caller.user.email)).collect();
    Ok(Json(list).into_response())
}

/// Averages since the first job.
#[utoipa::path(
    get, path = "/observer/stats", tag = "published", operation_id = "observerStats",
    params(("secret" = Option<String>, Query, description = "Or in a JSON body.")),
    request_body = Option<StatsRequest>,
    responses(
        (status = 200, description = "Per minute, and seconds.", body = Averages),
        PublishedRequest,
        PublishedBody,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn stats(
    AsPublished(caller): AsPublished<Caller<AnyScope>>,
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Published> {
    let fields = fields(query.as_deref(), body).await?;
    match &gateway.config.admin_secret {
        Some(secret) => {
            let (limits, address) = (&gateway.limits, client_ip::address());
            limits.check_attempt(address)?;
            let given = text(&fields, "secret")?.unwrap_or_default();
            if !equal(given.as_bytes(), secret.expose().as_bytes()) {
                limits.record_failure(limits.slot(address), None);
                return Err(ApiError::BadRequest("wrong secret".to_owned()).into());
            }
        }
        None if caller.is_admin() => {}
        None => return Err(ApiError::Forbidden("an admin's token is needed".to_owned()).into()),
    }
    Ok(Json(averages(&gateway).await?).into_response())
}

async fn averages(gateway: &Gateway) -> Result<Averages, ApiError> {
    let now = gateway.ledger.observer.get("now").await?.map(|entry| entry.value);
    let number = |name: &str| {
        let found = now.as_ref().and_then(|now| now.get(name)).and_then(Value::as_number);
        found.cloned().unwrap_or_else(|| 0.into())
    };
    Ok(Averages {
        requests: number("averageRequests"),
        completed: number("averageCompleted"),
        time: number("averageTime"),
    })
}

/// What is not there, in the shape of the interface that was asked.
pub(crate) async fn no_such_path(method: Method, uri: http::Uri) -> Response {
    if uri.path().starts_with("/job/") || uri.path().starts_with("/observer/") {
        return Published(ApiError::NotFound("endpoint")).into_response();
    }
    if uri.path() == "/api" || uri.path().starts_with("/api/") {
        return ApiError::NotFound("endpoint").into_response();
    }
    (StatusCode::NOT_FOUND, format!("nothing here for {method}\n")).into_response()
}

/// The path is there, the method is not.
pub(crate) async fn no_such_method(method: Method, uri: http::Uri) -> Response {
    if uri.path().starts_with("/job/") || uri.path().starts_with("/observer/") {
        return Published(ApiError::NoSuchMethod(method)).into_response();
    }
    if uri.path().starts_with("/api/") {
        return ApiError::NoSuchMethod(method).into_response();
    }
    (StatusCode::METHOD_NOT_ALLOWED, format!("not with {method}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use jobs::{Cause, JobResult, JobSpec, Outcome, State, UserId};
    use serde_json::json;

    use super::*;

    fn job(state: State) -> Job {
        let mut new = JobSpec::call(UserId::new(), "https://example.com/r");
        new.id = "0197a000-0000-7000-8000-000000000001".parse().unwrap();
        let mut job = Job::new(new);
        job.status.state = state;
        job.status.timings_ms.run = Some(1234);
        job
    }

    #[test]
    fn the_answer_to_a_sent_job() {
        let sent = SentJob {
            message: "job added to the queue, with ID = 7".to_owned(),
            job_id: "7".to_owned(),
            data: SentData { git_url: "example.com/r".to_owned() },
        };
        insta::assert_snapshot!(serde_json::to_string(&sent).unwrap(), @r#"{"message":"job added to the queue, with ID = 7","jobID":"7","data":{"gitURL":"example.com/r"}}"#);
    }

    #[test]
    fn entries_of_a_list() {
        let mut finished = job(State::Finish);
        finished.status.result = Some(JobResult::of(b"3.14\n", 0));
        finished.spec.name = Some("pi".to_owned());
        insta::assert_snapshot!(serde_json::to_string(&listed(&finished, "a@example.com")).unwrap(), @r#"{"jobID":"0197a000-0000-7000-8000-000000000001","status":"finish","userID":"a@example.com","url":"https://example.com/r","name":"pi","elapsedTime":1.234,"result":"3.14\n"}"#);
        insta::assert_snapshot!(serde_json::to_string(&listed(&job(State::Pending), "a@example.com")).unwrap(), @r#"{"jobID":"0197a000-0000-7000-8000-000000000001","status":"pending","userID":"a@example.com","url":"https://example.com/r","name":"","elapsedTime":1.234}"#);
    }

    #[test]
    fn a_failed_job_tells_why_and_then_its_last_lines() {
        let Outcome::Failed { message, .. } = Outcome::function(Cause::Exit, "exit code 3") else {
            unreachable!("a function's failure")
        };
        let mut failed = job(State::Error);
        failed.status.message = Some(message);
        failed.status.error_tail = Some("Traceback\nboom".to_owned());
        insta::assert_snapshot!(failure(&failed), @r"
        exit code 3
        Traceback
        boom
        ");
    }

    #[tokio::test]
    async fn fields_come_from_the_body_and_else_from_the_query() {
        let read = async |query, body: &'static str| fields(query, Body::from(body)).await.map(Value::Object);
        assert_eq!(read(Some("jobID=1&x=a%20b"), "").await.unwrap(), json!({"jobID": "1", "x": "a b"}));
        assert_eq!(read(None, "\u{feff}{\"jobID\": \"2\"}").await.unwrap(), json!({"jobID": "2"}));
        assert_eq!(read(Some("jobID=1"), r#"{"jobID": "2"}"#).await.unwrap(), json!({"jobID": "2"}));
        assert!(read(None, "[1]").await.is_err());
        assert!(read(None, "{").await.is_err());
    }
}
