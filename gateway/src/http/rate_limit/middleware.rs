//! Applies rate limits before a request is handled, and counts failed authentication afterwards.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jobs::RepoId;

use crate::{
    error::{ApiError, Published},
    http::{
        client_ip,
        credentials::{bearer_token, presented_token},
        layers::{FUNCTIONS_ROUTE, OfFunction},
        rate_limit::{BODY_METER, Limits},
    },
};

/// Routes of monitoring, and those that authenticate in another way.
const UNLIMITED_ROUTES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
const WEBHOOKS: &str = "/webhooks/";
/// Routes whose token is in the body.
const TOKEN_IN_BODY: [&str; 3] = ["/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"];

/// Enforces the limits around every request.
pub(crate) async fn enforce(
    State(limits): State<Arc<Limits>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = route.trim_end_matches('/').to_owned();
    if UNLIMITED_ROUTES.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let is_webhook = route.starts_with(WEBHOOKS);
    // A body is not authenticated yet; until then it counts for the address, and for the hook.
    let repo = is_webhook.then(|| hook(request.uri().path())).flatten();
    let meter = Arc::new(limits.meter_body(client_ip::address(), repo));
    if is_webhook {
        return BODY_METER.scope(meter, next.run(request)).await;
    }
    let published = ["/job/", "/observer/", "/oauth/"].iter().any(|prefix| route.starts_with(prefix));
    let refused = |error: ApiError| {
        if published { Published(error).into_response() } else { error.into_response() }
    };
    let slot = limits.slot(client_ip::address());
    let is_function = route == FUNCTIONS_ROUTE;
    let token = match is_function {
        // Functions take no cookie, so that one proves nothing there and its session did not fail.
        true => request
            .headers()
            .contains_key(header::AUTHORIZATION)
            .then(|| bearer_token(request.headers()).unwrap_or_default().to_owned()),
        false => presented_token(request.headers()),
    };
    let in_body = TOKEN_IN_BODY.contains(&route.as_str());
    let tried = if in_body { limits.check_attempt(client_ip::address()) } else { Ok(()) };
    if let Err(error) = tried.and_then(|()| limits.check_request(slot, token.as_deref())) {
        return refused(error);
    }
    let response = BODY_METER.scope(meter, next.run(request)).await;
    // A function may refuse what it likes with 401; that was no attempt to sign in here.
    let is_ours = response.extensions().get::<OfFunction>().is_none();
    if response.status() == StatusCode::UNAUTHORIZED && is_ours && (token.is_some() || in_body) {
        limits.record_failure(slot, token.as_deref());
    }
    response
}

/// The registration whose webhook a path leads to.
fn hook(path: &str) -> Option<RepoId> {
    path.strip_prefix(WEBHOOKS)?.trim_end_matches('/').parse().ok()
}
