//! Pages for people: a job with its live log, one's jobs and tokens, a delivery that waits for an approval,
//! and the form that takes a token.
//!
//! No third-party resource, no inline script or style; without JavaScript the page shows what there
//! is and reloads itself. A cookie that no script reads keeps a sign-in, or the API token that a form
//! took; what changes something carries a word that belongs to that session.

use crate::{
    auth::rights::{JobsRead, ReadJob, Reader},
    html::{PageError, html, on_page::OnPage},
};

pub(crate) mod delivery;
mod forms;
mod show;
pub(crate) mod tokens;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
pub(crate) use forms::{cancel, login, logout, rerun};
use http::{HeaderMap, StatusCode, header};
use jobs::{Job, accounts::Scope, bucket::Entry};
use show::{JobView, LogSegment};

use crate::{
    api::{job_output::counting, jobs::page, view::job_input},
    error::ApiError,
    http::credentials::session_cookie,
    login::LoginOption,
    state::Gateway,
};

/// Jobs on the first page.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    email: &'a str,
    jobs: Vec<JobView>,
    form: String,
    /// Providers whose accounts may be linked.
    links: Vec<LoginOption>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    job: JobView,
    log: Vec<LogSegment>,
    /// Where the live log goes on: `<attempt>.<offset>`.
    from: String,
    /// Of the link, for the script.
    key: String,
    /// The session's word, for those who may end or repeat the job.
    form: Option<String>,
}

/// `GET /`: the caller's jobs.
pub(crate) async fn home(
    caller: OnPage<Reader<JobsRead>>,
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let shown = async {
        let (entries, _) = page(&gateway, &gateway.access.visible_jobs(&caller), None, SHOWN).await?;
        let form = session_cookie(&headers).map(|session| gateway.keys.form(&session)).unwrap_or_default();
        let jobs = entries.iter().map(JobView::of).collect();
        let links = gateway.sign_ins.linkable(&caller).await?;
        Ok(html(StatusCode::OK, &HomePage { email: &caller.user.email, jobs, form, links }))
    };
    shown.await.map_err(PageError::at(&gateway.login, "/"))
}

/// `GET /jobs/{id}`
pub(crate) async fn job(
    OnPage(ReadJob { entry, access, key }): OnPage<ReadJob>,
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let page = format!("/jobs/{}", entry.value.spec.id);
    let shown = async {
        let counted = gateway.access.count_link_read(&access)?;
        let (log, from) = log(&gateway, &entry.value).await?;
        let form = word_of_owner(&gateway, &headers, &entry).await;
        let status = gateway.registrations.status_view(&entry).await?;
        let input = job_input(&gateway, &entry).await?;
        let job = JobView::of(&entry).with_status(status.as_ref()).with_input(input);
        let page = JobPage { job, log, from, key: key.unwrap_or_default(), form };
        Ok(counting(html(StatusCode::OK, &page), counted))
    };
    shown.await.map_err(PageError::at(&gateway.login, page))
}

/// The session's word, if the session may end or repeat this job.
async fn word_of_owner(gateway: &Gateway, headers: &HeaderMap, entry: &Entry<Job>) -> Option<String> {
    let session = session_cookie(headers)?;
    let caller = gateway.access.authenticate(&session).await.ok()?;
    caller.require_scope(Scope::JobsWrite).ok()?;
    gateway.access.owned_job(&caller, &entry.value.spec.id.to_string()).await.ok()?;
    Some(gateway.keys.form(&session))
}

/// The log so far, in pieces of one source, and where it ends.
async fn log(gateway: &Gateway, job: &Job) -> Result<(Vec<LogSegment>, String), ApiError> {
    let mut pieces: Vec<LogSegment> = Vec::new();
    let mut end = 0;
    if job.status.attempt > 0 {
        let mut reader = gateway.ledger.log(job.spec.id, job.status.attempt).await?;
        while let Some(chunk) = reader.next().await? {
            end = chunk.offset + chunk.bytes.len() as u64;
            LogSegment::add(&mut pieces, chunk.source, &chunk.bytes);
        }
    }
    Ok((pieces, format!("{}.{end}", job.status.attempt)))
}

/// `GET /assets/{name}`
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("../../assets/style.css")),
        "job.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/job.js")),
        _ => return ApiError::NotFound("asset").into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}
