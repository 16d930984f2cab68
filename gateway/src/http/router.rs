//! The list of routes, and what holds for all of them.
//!
//! Every answer has the security headers, every request an id, a limit in time and a bounded body.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, patch, post, put},
};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};

use crate::{
    api::{
        audit, deliveries, events, health, job_output, jobs, openapi, published, repos, secrets, tokens,
        webhooks,
    },
    error::ApiError,
    extract::MAX_BODY_BYTES,
    http::{
        client_ip::{CLIENT, Client},
        rate_limit::middleware,
    },
    login, metrics, pages,
    state::Gateway,
};

/// A request that takes longer is one whose client or NATS is gone. A forge waits 10 s.
const TIME: Duration = Duration::from_secs(30);
/// For `POST /api/v1/jobs`, whose `?wait` may be as long as [`jobs::MAX_WAIT_S`].
const WAITING_TIME: Duration = Duration::from_secs(jobs::MAX_WAIT_S + 15);
/// Browsers come back with TLS for so long (RFC 6797), to this host alone.
const ONE_YEAR: &str = "max-age=31536000";
/// The path that may wait.
const MAY_WAIT: &str = "/api/v1/jobs";
/// The longest `x-request-id` taken from outside; others are replaced.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// A route: its method and path, and who answers.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    answer: MethodRouter<Gateway>,
}

/// Every route there is. `openapi.json` describes those below `/api/v1` and the published interface;
/// a test holds the two together.
pub(crate) fn routes() -> Vec<Route> {
    let route = |method, path, answer| Route { method, path, answer };
    let at_get = |path, answer| route(Method::GET, path, answer);
    let at_post = |path, answer| route(Method::POST, path, answer);
    vec![
        at_post("/job/send-job", post(published::send_job)),
        at_get("/job/job-status", get(published::job_status)),
        at_get("/job/result", get(published::result)),
        at_get("/job/list-jobs", get(published::list_jobs)),
        at_get("/observer/stats", get(published::stats)),
        at_get("/oauth/authorize", get(login::authorize::authorize)),
        at_get("/oauth/callback", get(login::callback::callback)),
        at_post("/oauth/device", post(login::device::begin)),
        at_post("/oauth/token", post(login::device::token)),
        at_post("/api/v1/auth/refresh", post(login::account::refresh)),
        at_post("/api/v1/auth/logout", post(login::account::logout)),
        at_get("/api/v1/whoami", get(login::account::whoami)),
        at_post("/api/v1/jobs", post(jobs::submit)),
        at_get("/api/v1/jobs", get(jobs::list)),
        at_get("/api/v1/jobs/{id}", get(jobs::get)),
        route(Method::DELETE, "/api/v1/jobs/{id}", delete(jobs::remove)),
        at_get("/api/v1/jobs/{id}/result", get(job_output::result)),
        at_get("/api/v1/jobs/{id}/log", get(job_output::log)),
        at_get("/api/v1/jobs/{id}/events", get(events::events)),
        at_post("/api/v1/jobs/{id}/cancel", post(jobs::cancel)),
        at_post("/api/v1/jobs/{id}/rerun", post(jobs::rerun)),
        at_post("/api/v1/repos", post(repos::add)),
        at_get("/api/v1/repos", get(repos::list)),
        at_get("/api/v1/repos/{id}", get(repos::get)),
        route(Method::PATCH, "/api/v1/repos/{id}", patch(repos::change)),
        route(Method::DELETE, "/api/v1/repos/{id}", delete(repos::remove)),
        at_get("/api/v1/repos/{id}/secrets", get(secrets::list)),
        route(Method::PUT, "/api/v1/repos/{id}/secrets/{name}", put(secrets::set)),
        route(Method::DELETE, "/api/v1/repos/{id}/secrets/{name}", delete(secrets::remove)),
        at_get("/api/v1/deliveries", get(deliveries::list)),
        at_get("/api/v1/deliveries/{id}", get(deliveries::get)),
        at_post("/api/v1/deliveries/{id}/replay", post(deliveries::replay)),
        at_post("/api/v1/deliveries/{id}/approve", post(deliveries::approve)),
        at_post("/api/v1/tokens", post(tokens::make)),
        at_get("/api/v1/tokens", get(tokens::list)),
        route(Method::DELETE, "/api/v1/tokens/{id}", delete(tokens::revoke)),
        at_get("/api/v1/usage", get(crate::api::usage::show)),
        at_get("/api/v1/stats", get(health::stats)),
        at_get("/api/v1/audit", get(audit::list)),
        at_post("/webhooks/github", post(webhooks::github)),
        at_post("/webhooks/{id}", post(webhooks::of_repo)),
        at_get("/openapi.json", get(openapi::openapi)),
        at_get("/schema/faas-manifest.json", get(openapi::manifest_schema)),
        at_get("/healthz", get(health::healthz)),
        at_get("/readyz", get(health::readyz)),
        at_get("/metrics", get(metrics::metrics)),
        at_get("/", get(pages::home)),
        at_get("/jobs/{id}", get(pages::job)),
        at_post("/jobs/{id}/cancel", post(pages::cancel)),
        at_post("/jobs/{id}/rerun", post(pages::rerun)),
        at_get("/deliveries/{id}", get(pages::delivery::show)),
        at_post("/deliveries/{id}/approve", post(pages::delivery::approve)),
        at_get("/tokens", get(pages::tokens::show)),
        at_post("/tokens", post(pages::tokens::make)),
        at_post("/tokens/{id}/revoke", post(pages::tokens::revoke)),
        at_get("/device", get(login::device::show)),
        at_post("/device", post(login::device::answer)),
        at_post("/link", post(login::link::link)),
        at_post("/login", post(pages::login)),
        at_post("/logout", post(pages::logout)),
        at_get("/assets/{name}", get(pages::asset)),
    ]
}

/// Method and path of every route, for tests that must know them all.
pub fn endpoints() -> Vec<(Method, &'static str)> {
    routes().into_iter().map(|route| (route.method, route.path)).collect()
}

/// Everything that a gateway answers, with all that holds for every route.
pub fn app(gateway: Gateway) -> Router {
    let mut router = Router::new();
    for Route { path, answer, .. } in routes() {
        // Published paths and all others are the same with and without a slash at their end.
        if path.len() > 1 && !path.ends_with('}') {
            router = router.route(&format!("{path}/"), answer.clone());
        }
        router = router.route(path, answer);
    }
    let request_id = HeaderName::from_static("x-request-id");
    router
        .fallback(published::no_such_path)
        .method_not_allowed_fallback(published::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            ApiError::Internal(anyhow::anyhow!("panic: {words}")).into_response()
        }))
        .layer(from_fn_with_state(gateway.clone(), middleware::pass))
        .layer(from_fn_with_state(gateway.clone(), around))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(SetRequestIdLayer::new(request_id, FreshId))
        .layer(axum::middleware::from_fn(only_sound_request_ids))
        .with_state(gateway)
}

#[derive(Clone)]
struct FreshId;

impl MakeRequestId for FreshId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = uuid::Uuid::now_v7().to_string();
        id.parse().ok().map(RequestId::new)
    }
}

/// A request id from outside goes into logs and answers: only a short printable one is kept.
async fn only_sound_request_ids(mut request: Request, next: Next) -> Response {
    let sound =
        |id: &HeaderValue| id.len() <= MAX_REQUEST_ID_BYTES && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if request.headers().get("x-request-id").is_some_and(|id| !sound(id)) {
        request.headers_mut().remove("x-request-id");
    }
    next.run(request).await
}

/// Limit in time, span, count and headers of every request.
async fn around(State(gateway): State<Gateway>, request: Request<Body>, next: Next) -> Response {
    use tracing::Instrument as _;
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    // With or without a slash at its end it is the same route.
    let route = if route.len() > 1 { route.trim_end_matches('/').to_owned() } else { route.to_owned() };
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    let time = if route == MAY_WAIT { WAITING_TIME } else { TIME };
    let client = Client::of(request.extensions(), request.headers(), &gateway.config.limits.trusted_proxies);
    let answering = tokio::time::timeout(time, CLIENT.scope(client, next.run(request)));
    let answered = answering.instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| {
            ApiError::Unavailable(anyhow::anyhow!("no answer within {} s", time.as_secs())).into_response()
        })
    });
    gateway.metrics.request(&route, response.status().as_u16());
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Over plain HTTP a browser must not heed it (RFC 6797, section 7.2).
    if client.with_tls.unwrap_or_else(|| gateway.public_url.scheme() == "https") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONE_YEAR));
    }
    response
}
