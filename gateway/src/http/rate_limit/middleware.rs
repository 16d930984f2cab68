//! What a request passes before anybody looks at it: the limits of its address, and afterwards a look
//! at whether its token was any good.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::RepoId;

use crate::{
    error::{ApiError, Published},
    http::{
        client_ip,
        credentials::shown,
        rate_limit::{Limits, METER},
    },
};

/// What monitoring asks, and what proves itself in another way.
const FREE: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
const WEBHOOKS: &str = "/webhooks/";
/// Here a token comes in the body.
const TOKEN_IN_BODY: [&str; 3] = ["/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"];

/// The way in and out of every request.
pub(crate) async fn pass(State(limits): State<Arc<Limits>>, request: Request<Body>, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = route.trim_end_matches('/').to_owned();
    if FREE.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let is_webhook = route.starts_with(WEBHOOKS);
    // Whose a body is, its sender has yet to prove; till then it counts for the address, and for the hook.
    let repo = is_webhook.then(|| hook(request.uri().path())).flatten();
    let meter = Arc::new(limits.body(client_ip::address(), repo));
    if is_webhook {
        return METER.scope(meter, next.run(request)).await;
    }
    let published = ["/job/", "/observer/", "/oauth/"].iter().any(|prefix| route.starts_with(prefix));
    let refused = |error: ApiError| {
        if published { Published(error).into_response() } else { error.into_response() }
    };
    let slot = limits.slot(client_ip::address());
    let token = shown(request.headers());
    let in_body = TOKEN_IN_BODY.contains(&route.as_str());
    let tried = if in_body { limits.tries(client_ip::address()) } else { Ok(()) };
    if let Err(error) = tried.and_then(|()| limits.at_door(slot, token.as_deref())) {
        return refused(error);
    }
    let response = METER.scope(meter, next.run(request)).await;
    if response.status() == StatusCode::UNAUTHORIZED && (token.is_some() || in_body) {
        limits.failed(slot, token.as_deref());
    }
    response
}

/// The registration to whose webhook a path leads.
fn hook(path: &str) -> Option<RepoId> {
    path.strip_prefix(WEBHOOKS)?.trim_end_matches('/').parse().ok()
}
