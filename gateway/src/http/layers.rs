//! Layers around every route: security headers, request id, timeout and body limit.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};
use url::Url;

use crate::{
    error::ApiError,
    http::{
        MAX_BODY_BYTES,
        asked_at::{ASKED_AT, AskedAt},
        client_ip::{CLIENT, Client, Network},
        rate_limit::{Limits, middleware},
    },
    metrics::Metrics,
};

/// Timeout of a request. A forge waits 10 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest `?wait` for a job, in seconds: most proxies give up then.
pub(crate) const MAX_WAIT_S: u64 = 300;
/// Timeout of `POST /api/v1/jobs`, whose `?wait` may be as long as [`MAX_WAIT_S`].
const WAIT_TIMEOUT: Duration = Duration::from_secs(MAX_WAIT_S + 15);
/// Browsers use TLS for so long (RFC 6797), for this host alone.
const HSTS_ONE_YEAR: &str = "max-age=31536000";
/// The route with `?wait`.
const WAIT_ROUTE: &str = "/api/v1/jobs";
/// The route of functions, whose callers wait as well, and whose answers are the functions' own.
pub(crate) const FUNCTIONS_ROUTE: &str = "/f/{*path}";
/// Marks a response that a function wrote: its status and headers say nothing of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfFunction;
/// The longest `x-request-id` of a client that is kept; longer ones are replaced.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// State of the layers.
pub(crate) struct LayerState {
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) public_url: Url,
}

/// Adds the layers to a router.
pub(crate) fn layered(router: Router, edge: LayerState) -> Router {
    let request_id = HeaderName::from_static("x-request-id");
    let limits = Arc::clone(&edge.limits);
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            ApiError::Internal(anyhow::anyhow!("panic: {words}")).into_response()
        }))
        .layer(from_fn_with_state(limits, middleware::enforce))
        .layer(from_fn_with_state(Arc::new(edge), with_request_context))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(SetRequestIdLayer::new(request_id, UuidRequestId))
        .layer(axum::middleware::from_fn(drop_invalid_request_ids))
}

#[derive(Clone)]
struct UuidRequestId;

impl MakeRequestId for UuidRequestId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = uuid::Uuid::now_v7().to_string();
        id.parse().ok().map(RequestId::new)
    }
}

/// A client's request id goes into logs and responses: only a short printable one is kept.
async fn drop_invalid_request_ids(mut request: Request, next: Next) -> Response {
    let sound =
        |id: &HeaderValue| id.len() <= MAX_REQUEST_ID_BYTES && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if request.headers().get("x-request-id").is_some_and(|id| !sound(id)) {
        request.headers_mut().remove("x-request-id");
    }
    next.run(request).await
}

/// Timeout, span, metric and headers of every request.
async fn with_request_context(
    State(edge): State<Arc<LayerState>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    use tracing::Instrument as _;
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    // With or without a trailing slash it is the same route.
    let route = if route.len() > 1 { route.trim_end_matches('/').to_owned() } else { route.to_owned() };
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    let is_function = route == FUNCTIONS_ROUTE;
    let time = if is_function || route == WAIT_ROUTE { WAIT_TIMEOUT } else { REQUEST_TIMEOUT };
    let client = Client::of(request.extensions(), request.headers(), &edge.trusted_proxies);
    let with_tls = client.with_tls.unwrap_or_else(|| edge.public_url.scheme() == "https");
    let asked_at = AskedAt::of(&request, with_tls);
    let answering = CLIENT.scope(client, ASKED_AT.scope(asked_at, next.run(request)));
    let answering = tokio::time::timeout(time, answering);
    let answered = answering.instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| {
            ApiError::Unavailable(anyhow::anyhow!("no answer within {} s", time.as_secs())).into_response()
        })
    });
    edge.metrics.request(&route, response.status().as_u16());
    let headers = response.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    let of_pages = [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    // Functions say themselves who may show and cache what they answer.
    for (name, value) in of_pages.into_iter().filter(|_| !is_function) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Browsers must ignore it over plain HTTP (RFC 6797, section 7.2).
    if with_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS_ONE_YEAR));
    }
    response
}
