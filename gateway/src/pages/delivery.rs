//! `/deliveries/{id}`: what a forge sent, what was decided about it, and a form that lets a held one run.
//!
//! The form carries the commit that the page shows, and an approval names its commit: what runs is
//! what was looked at, whatever came in between.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use hooks::Incoming;
use http::StatusCode;
use jobs::{CommitSha, Delivery, Verdict, accounts::Scope, bucket::Entry};
use serde::Deserialize;

use crate::{
    api::view,
    auth::{
        identity::Identity,
        rights::{JobsRead, JobsWrite, SessionCaller},
    },
    deliveries::approval::is_delivery_key,
    error::ApiError,
    html::{
        PageError,
        form::{FormCaller, FormFields},
        html,
        on_page::OnPage,
    },
    pages::show::second,
    state::Gateway,
};

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage<'a> {
    delivery: DeliveryView,
    /// Why the form was refused; empty otherwise.
    message: &'a str,
    /// The session's word, where the delivery is held and the session may let it run.
    form: Option<String>,
}

/// A delivery as the page shows it; what is not known is empty.
struct DeliveryView {
    id: String,
    /// Of the registration.
    url: String,
    is_link: bool,
    reference: String,
    sha: String,
    /// The branch that a pull request comes from, and its repository.
    source: String,
    event: String,
    sender: String,
    received_at: String,
    verdict: &'static str,
    reason: String,
    jobs: Vec<String>,
}

impl DeliveryView {
    fn of(entry: &Entry<Delivery>, url: Option<String>) -> Self {
        let view = view::delivery(entry);
        let Origin { sender, source } = origin(&entry.value);
        let url = url.unwrap_or_default();
        let reference = match view.pull {
            Some(number) => format!("pull request {number}"),
            None => view.reference.unwrap_or_default(),
        };
        Self {
            id: view.id,
            is_link: url.starts_with("https://") || url.starts_with("http://"),
            url,
            reference,
            sha: view.sha.map(|sha| sha.to_string()).unwrap_or_default(),
            source,
            event: view.event,
            sender: sender.unwrap_or_default(),
            received_at: second(view.received_at),
            verdict: verdict_text(entry.value.verdict),
            reason: view.reason.unwrap_or_default(),
            jobs: view.jobs.iter().map(ToString::to_string).collect(),
        }
    }
}

fn verdict_text(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Accepted) => "accepted",
        Some(Verdict::Duplicate) => "duplicate",
        Some(Verdict::Ignored) => "ignored",
        Some(Verdict::Refused) => "refused",
        Some(Verdict::Held) => "held",
        None => "pending",
    }
}

/// Who sent it and where it comes from, as the forge says.
#[derive(Default)]
struct Origin {
    sender: Option<String>,
    source: String,
}

fn origin(delivery: &Delivery) -> Origin {
    match delivery.event() {
        Some(Incoming::Push(push)) => Origin { sender: push.pusher, source: String::new() },
        Some(Incoming::PullRequest(pull)) => {
            let source = match pull.head_repository {
                Some(repository) => format!("{} of {repository}", pull.head_branch),
                None => pull.head_branch,
            };
            Origin { sender: pull.sender, source }
        }
        Some(
            Incoming::Ping
            | Incoming::Rerequested(_)
            | Incoming::Installation(_)
            | Incoming::InstallationRepositories(_)
            | Incoming::Ignored(_),
        )
        | None => Origin::default(),
    }
}

/// Where one goes after signing in. The path comes from outside; only an id goes into the form.
fn page_of(id: &str) -> String {
    if is_delivery_key(id) { format!("/deliveries/{id}") } else { "/".to_owned() }
}

async fn page(
    gateway: &Gateway,
    session: &str,
    caller: &Identity,
    entry: &Entry<Delivery>,
    status: StatusCode,
    message: &str,
) -> Result<Response, ApiError> {
    let url = match entry.value.repo {
        Some(repo) => {
            gateway.ledger.repos.get(&repo.to_string()).await?.map(|entry| entry.value.url.to_string())
        }
        None => None,
    };
    let may_approve =
        entry.value.verdict == Some(Verdict::Held) && caller.require_scope(Scope::JobsWrite).is_ok();
    let form = may_approve.then(|| gateway.keys.form(session));
    Ok(html(status, &DeliveryPage { delivery: DeliveryView::of(entry, url), message, form }))
}

/// `GET /deliveries/{id}`
pub(crate) async fn show(
    caller: OnPage<SessionCaller<JobsRead>>,
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let shown = async {
        let entry = gateway.deliveries.find_decidable(&caller, &id).await?;
        page(&gateway, &caller.cookie, &caller, &entry, StatusCode::OK, "").await
    };
    shown.await.map_err(PageError::at(&gateway.login, page_of(&id)))
}

/// Of `POST /deliveries/{id}/approve`.
#[derive(Deserialize)]
pub(crate) struct Approval {
    #[serde(default)]
    form: String,
    /// The commit that the page showed; empty of an installation, which has none.
    #[serde(default)]
    sha: String,
}

impl FormFields for Approval {
    fn csrf_token(&self) -> &str {
        &self.form
    }
}

impl Approval {
    fn commit(&self) -> Result<Option<CommitSha>, ApiError> {
        if self.sha.is_empty() {
            return Ok(None);
        }
        let commit =
            self.sha.parse().map_err(|_| ApiError::BadRequest("sha: not a full commit id".to_owned()))?;
        Ok(Some(commit))
    }
}

/// `POST /deliveries/{id}/approve`: leads to the job, or back with a sentence that says why there is none.
pub(crate) async fn approve(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    form: FormCaller<JobsWrite, Approval>,
) -> Result<Response, PageError> {
    let approved = async {
        let held = gateway.deliveries.find_decidable(&form, &id).await?;
        let sha = form.fields.commit()?;
        match gateway.deliveries.approve(&form, held, sha.as_ref()).await {
            Ok(done) => Ok(Redirect::to(&next_page(&done)).into_response()),
            Err(error) => {
                let (status, message) = error.into_page();
                let now = gateway.deliveries.find_decidable(&form, &id).await?;
                page(&gateway, &form.cookie, &form, &now, status, &message).await
            }
        }
    };
    approved.await.map_err(PageError::at(&gateway.login, page_of(&id)))
}

/// The page of its job, or its own where it made none.
fn next_page(done: &Entry<Delivery>) -> String {
    done.value.jobs.first().map_or_else(|| page_of(&done.key), |job| format!("/jobs/{job}"))
}
