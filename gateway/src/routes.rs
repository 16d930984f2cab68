//! The list of routes.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use http::Method;

use crate::{
    api::{
        audit, deliveries, events, health, job_output, jobs, metrics, openapi, published, repos, secrets,
        sign_in, tokens, usage, webhooks,
    },
    http::layers::{Edge, layered},
    pages,
    state::Gateway,
};

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
        at_get("/oauth/authorize", get(sign_in::authorize::authorize)),
        at_get("/oauth/callback", get(sign_in::callback::callback)),
        at_post("/oauth/device", post(sign_in::device_grant::begin)),
        at_post("/oauth/token", post(sign_in::device_grant::token)),
        at_post("/api/v1/auth/refresh", post(sign_in::account::refresh)),
        at_post("/api/v1/auth/logout", post(sign_in::account::logout)),
        at_get("/api/v1/whoami", get(sign_in::account::whoami)),
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
        at_get("/api/v1/usage", get(usage::show)),
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
        at_get("/device", get(sign_in::device_page::show)),
        at_post("/device", post(sign_in::device_page::answer)),
        at_post("/link", post(sign_in::link::link)),
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
    let edge = Edge {
        limits: Arc::clone(&gateway.limits),
        metrics: Arc::clone(&gateway.metrics),
        trusted_proxies: gateway.config.limits.trusted_proxies.clone(),
        public_url: gateway.public_url.clone(),
    };
    let router = router
        .fallback(published::no_such_path)
        .method_not_allowed_fallback(published::no_such_method)
        .with_state(gateway);
    layered(router, edge)
}
