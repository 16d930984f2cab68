//! Calls a function: from an HTTP request to the answer of its job.
//!
//! Two rounds of reads, each beside each other, come before the job: token and name; registration and newest version.
//! A version never changes and is read once.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use jobs::{
    Input, InputHead, Job, JobId, JobSpec, Repo,
    bucket::Entry,
    manifest::{self, Http},
    record::FunctionCall,
};

use crate::{
    error::ApiError,
    extract,
    functions::{
        Functions,
        access::{Admission, Caller, TOKEN_NEEDED},
        address::{Address, Asked, answer_path},
        answer::{describe, isolate},
        prefer::{PREFERENCE_APPLIED, Wait},
        problem::CallError,
        refusal::Refusal,
        request::{self, CallFacts},
        resolve::Target,
    },
    http::{asked_at, client_ip, layers::OfFunction, rate_limit::LimitKey},
};

/// `Retry-After` of an answer that is not there yet, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// A call, as its address names it.
pub(super) struct Call<'a> {
    pub(super) function: String,
    pub(super) version: Option<String>,
    script_name: &'a str,
    path: &'a str,
}

/// What holds for every answer of a function once its version is known, failures as well.
#[derive(Default)]
struct Known {
    http: Option<Http>,
}

/// A body that was read to verify its signature, or that is read later.
enum RequestBody {
    Unread(Body),
    Read(Bytes),
}

/// A job that was made of a call.
struct Made {
    entry: Entry<Job>,
    http: Http,
}

impl Functions {
    /// Answers a request under `/f/`.
    pub(crate) async fn serve(&self, request: http::Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let mut known = Known::default();
        let answered = self.try_serve(&parts, body, &mut known).await;
        let mut response = answered.unwrap_or_else(|error| {
            let job = error.job().cloned();
            let mut response = error.into_response();
            if let Some(job) = job {
                describe(&mut response, &job);
            }
            response
        });
        if let Some(cors) = known.http.and_then(|http| http.cors) {
            add(response.headers_mut(), cors.answer(origin(&parts.headers)));
        }
        if response.extensions().get::<OfFunction>().is_none() {
            // What stands here, or who may call, is another thing tomorrow.
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        isolate(&mut response);
        response
    }

    async fn try_serve(&self, parts: &Parts, body: Body, known: &mut Known) -> Result<Response, CallError> {
        if asks_for_websocket(parts) {
            return Err(CallError::Upgrade);
        }
        let address = Address::of(parts.uri.path()).map_err(|_| ApiError::NotFound("function"))?;
        let function = address.function;
        match address.asks_for {
            Asked::Answer { job, mac } => {
                self.access.count(&parts.headers).await?;
                let entry = self.called(&function, job, mac).await?;
                if parts.method != Method::GET && parts.method != Method::HEAD {
                    return Err(CallError::Method("GET, HEAD".to_owned()));
                }
                let http = self.http_of(&entry.value).await?;
                known.http = Some(http.clone());
                let wait = Wait::of(&parts.headers, Duration::ZERO);
                let waiter = self.holder(&entry.value);
                self.answer_within(Made { entry, http }, wait, waiter).await
            }
            Asked::Call { version, script_name, path } => {
                let call = Call { function, version, script_name, path };
                match is_preflight(parts) {
                    true => self.preflight(parts, &call).await,
                    false => self.call(parts, body, &call, known).await,
                }
            }
        }
    }

    /// The job of a call that was made before, for whoever has the address of its answer.
    async fn called(&self, function: &str, job: JobId, mac: &str) -> Result<Entry<Job>, CallError> {
        let missing = || ApiError::NotFound("answer");
        if !self.keys.is_answer(job, mac) {
            return Err(missing().into());
        }
        let entry = self.job_records.record(job).await?.ok_or_else(missing)?;
        let is_its = entry.value.spec.function.as_ref().is_some_and(|call| call.name == function);
        if is_its { Ok(entry) } else { Err(missing().into()) }
    }

    /// Whom it counts for that somebody who has the address of an answer waits for it.
    fn holder(&self, job: &Job) -> LimitKey {
        let slot = self.limits.slot(client_ip::address());
        job.spec.repo.map_or(LimitKey::Address(slot), |repo| LimitKey::FunctionAndAddress(repo, slot))
    }

    /// What the manifest of a call's commit says of calls.
    async fn http_of(&self, job: &Job) -> Result<Http, CallError> {
        let (Some(repo), Some(sha)) = (job.spec.repo, &job.spec.sha) else { return Ok(Http::default()) };
        let version = self.version(repo, sha).await?;
        Ok(version.map(|version| version.http()).unwrap_or_default())
    }

    async fn call(
        &self,
        parts: &Parts,
        body: Body,
        call: &Call<'_>,
        known: &mut Known,
    ) -> Result<Response, CallError> {
        let reading = tokio::join!(self.access.presented(&parts.headers), self.look_up(&call.function));
        let (presented, found) = (reading.0?, reading.1?);
        let found = match found {
            Some(repo) => self.repo_and_version(repo, call).await?,
            None => None,
        };
        let repo = found.as_ref().map(|found| &found.0);
        let (caller, body) = match self.access.admit(repo, presented, &parts.headers)? {
            Admission::Granted(caller) => (caller, RequestBody::Unread(body)),
            Admission::IfSigned(signed) => {
                let bytes = self.read(parts, body).await?;
                let caller = self.access.verify(signed, &parts.headers, &bytes).await?;
                (caller, RequestBody::Read(bytes))
            }
        };
        let (repo, target) = found.ok_or(Refusal::NotFound)?;
        if let Some(moved) = moved(parts, call, &repo) {
            self.settle(caller, false).await;
            return Ok(moved);
        }
        let made = self.make(parts, body, call, (&repo, target), &caller, known).await;
        let waiter = caller.waiter(repo.id);
        // Counts as long as the caller waits.
        let _permit = self.settle(caller, made.is_ok()).await;
        let made = made?;
        let wait = Wait::of(&parts.headers, made.http.wait());
        self.answer_within(made, wait, waiter).await
    }

    /// Makes the job.
    async fn make(
        &self,
        parts: &Parts,
        body: RequestBody,
        call: &Call<'_>,
        (repo, target): (&Repo, Option<Target>),
        caller: &Caller,
        known: &mut Known,
    ) -> Result<Made, CallError> {
        if call.version.is_some() && !caller.may_choose_version() && !self.is_alias(repo, call).await? {
            return Err(CallError::NotBuilt);
        }
        let Target { sha, version } = target.ok_or(CallError::NotBuilt)?;
        let http = version.http();
        known.http = Some(http.clone());
        if !http.allows(parts.method.as_str()) {
            return Err(CallError::Method(http.allow_header()));
        }
        let body = match body {
            RequestBody::Unread(body) => self.read(parts, body).await?,
            RequestBody::Read(bytes) => bytes,
        };
        let facts = CallFacts {
            script_name: call.script_name,
            path: call.path,
            user: caller.email(),
            keep_authorization: caller.is_stranger() && !self.access.shows_own_token(&parts.headers),
            is_https: asked_at::with_tls(),
        };
        let told = request::of(parts, body.len() as u64, facts)?;
        let once = self.once(&parts.headers, call, repo, caller, &told, &body)?;
        let head = InputHead::of_request(told);
        let input = Input { head, body };
        let spec = JobSpec {
            id: caller.job(),
            label: repo.label.clone(),
            repo: Some(repo.id),
            sha: Some(sha),
            input: Some(input.describe()),
            function: Some(FunctionCall { name: call.function.clone(), repeatable: http.retry }),
            ..JobSpec::call(repo.owner, repo.url.clone())
        };
        let entry = self.jobs.call_function(spec, &input, once).await?;
        Ok(Made { entry, http })
    }

    /// A browser asks whether a page of another origin may call: answered from the version, without a job and without
    /// a token. A function that shares nothing is answered as one that does not exist.
    async fn preflight(&self, parts: &Parts, call: &Call<'_>) -> Result<Response, CallError> {
        self.access.count(&parts.headers).await?;
        let found = match self.look_up(&call.function).await? {
            Some(repo) => self.repo_and_version(repo, call).await?,
            None => None,
        };
        let http = found.and_then(|(_, target)| Some(target?.version.http()));
        let (Some(cors), Some(origin)) = (http.and_then(|http| http.cors), origin(&parts.headers)) else {
            return Err(ApiError::Unauthorized(TOKEN_NEEDED).into());
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        add(response.headers_mut(), cors.preflight(origin));
        Ok(response)
    }

    /// The body, within the limit; one that says itself that it is longer is refused before it is read.
    async fn read(&self, parts: &Parts, body: Body) -> Result<Bytes, CallError> {
        let limit = self.max_input_bytes;
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            extract::discard(body).await;
            return Err(ApiError::InputTooLarge(limit).into());
        }
        let read = extract::read(body, usize::try_from(limit).unwrap_or(usize::MAX)).await;
        read.map_err(|error| match error {
            ApiError::TooLarge(_) => ApiError::InputTooLarge(limit).into(),
            other => other.into(),
        })
    }

    /// The answer, if it comes while the caller waits; else where it will be.
    async fn answer_within(&self, made: Made, wait: Wait, waiter: LimitKey) -> Result<Response, CallError> {
        let Made { entry, http } = made;
        // Who waits for too many calls already is answered as if the time were up.
        let permit = if wait.time.is_zero() { None } else { self.limits.acquire_wait(waiter) };
        let entry = match permit {
            Some(_permit) => self.jobs.ended(entry, wait.time, &self.stop).await?,
            None => entry,
        };
        let job = entry.value.clone();
        let mut response = match job.status.state.is_final() {
            true => self.answer(entry, &http).await?,
            false => self.accepted(&job),
        };
        describe(&mut response, &job);
        if let Some(applied) = wait.applied {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
        Ok(response)
    }

    /// The call goes on, and its answer can be fetched.
    fn accepted(&self, job: &Job) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        let called_as = job.spec.function.as_ref().map(|call| call.name.as_str()).unwrap_or_default();
        let location = answer_path(called_as, job.spec.id, &self.keys.answer(job.spec.id));
        let headers = response.headers_mut();
        headers.extend(HeaderValue::try_from(location).map(|location| (header::LOCATION, location)));
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        response
    }
}

/// Whether a request is a WebSocket's. What else it may upgrade to, such as HTTP/2, is an offer that is not taken (RFC
/// 9110, section 7.8).
fn asks_for_websocket(parts: &Parts) -> bool {
    let offered = parts.headers.get_all(header::UPGRADE).iter().filter_map(|offered| offered.to_str().ok());
    offered
        .flat_map(|offered| offered.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// The origin that a page of another site sends.
fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok()
}

fn is_preflight(parts: &Parts) -> bool {
    let wanted =
        parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|wanted| wanted.to_str().ok());
    manifest::is_preflight(parts.method.as_str(), origin(&parts.headers), wanted)
}

/// Leads to the function that has another name now; its path, version, query, method and body stay.
fn moved(parts: &Parts, call: &Call<'_>, repo: &Repo) -> Option<Response> {
    let name = repo.function.as_ref()?.as_str();
    if name == call.function {
        return None;
    }
    let version = call.version.as_ref().map(|version| format!("@{}", version.replace('/', "~")));
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("/f/{name}{}{}{query}", version.unwrap_or_default(), call.path);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(to).ok()?);
    Some(response)
}

/// Adds headers of Cross-Origin Resource Sharing; `Vary` beside the function's own.
fn add(headers: &mut HeaderMap, cors: Vec<manifest::Header>) {
    for (name, value) in cors {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            continue;
        };
        match name == header::VARY {
            true => headers.append(name, value),
            false => headers.insert(name, value).is_some(),
        };
    }
}
