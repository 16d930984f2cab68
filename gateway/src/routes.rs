//! The list of routes.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{MethodFilter, MethodRouter, on},
};
use http::Method;

use crate::{
    api::{
        audit, deliveries, events, health, job_output, jobs, metrics, openapi, published, repos, secrets,
        sign_in, tokens, usage, webhooks,
    },
    auth::rights::Right,
    extract::{KnownParameters, reject_unknown_parameters},
    html::form::FormRight,
    http::layers::{LayerState, layered},
    pages,
    state::Gateway,
};

/// A route: its method and path, and who answers.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    answer: MethodRouter<Gateway>,
}

impl Route {
    /// A route whose handler says in its first argument who may call it.
    fn of<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: BeginsWithRight + 'static,
    {
        Self::public(method, path, handler)
    }

    /// A form of a page, whose last argument says who may send it: it reads the body.
    fn form<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: EndsWithRight + 'static,
    {
        Self::public(method, path, handler)
    }

    /// A route for everybody, or one that proves in its own way who asks: webhooks by their signature, a
    /// sign-in by what the provider says, a refresh token by itself.
    fn public<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that axum routes");
        Self { method, path, answer: on(filter, handler) }
    }
}

/// The arguments of a handler of which the first is a [`Right`].
trait BeginsWithRight {}

macro_rules! begin_with_right {
    ($(($($rest:ident)*))*) => {
        // What axum says of a handler's arguments begins with how its last one is read.
        $(impl<How, R: Right, $($rest),*> BeginsWithRight for (How, R, $($rest,)*) {})*
    };
}

begin_with_right! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) }

/// The arguments of a handler of which the last is a [`FormRight`].
trait EndsWithRight {}

macro_rules! end_with_right {
    ($(($($before:ident)*))*) => {
        $(impl<How, $($before,)* R: FormRight> EndsWithRight for (How, $($before,)* R,) {})*
    };
}

end_with_right! { (A) (A B) (A B C) (A B C D) }

/// Every route there is. `openapi.json` describes those below `/api/v1` and the published interface;
/// a test holds the two together.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::of(Method::POST, "/job/send-job", published::send_job),
        Route::of(Method::GET, "/job/job-status", published::job_status),
        Route::of(Method::GET, "/job/result", published::result),
        Route::of(Method::GET, "/job/list-jobs", published::list_jobs),
        Route::of(Method::GET, "/observer/stats", published::stats),
        Route::public(Method::GET, "/oauth/authorize", sign_in::authorize::authorize),
        Route::public(Method::GET, "/oauth/callback", sign_in::callback::callback),
        Route::public(Method::POST, "/oauth/device", sign_in::device_grant::begin),
        Route::public(Method::POST, "/oauth/token", sign_in::device_grant::token),
        Route::public(Method::POST, "/api/v1/auth/refresh", sign_in::account::refresh),
        Route::public(Method::POST, "/api/v1/auth/logout", sign_in::account::logout),
        Route::of(Method::GET, "/api/v1/whoami", sign_in::account::whoami),
        Route::of(Method::POST, "/api/v1/jobs", jobs::submit),
        Route::of(Method::GET, "/api/v1/jobs", jobs::list),
        Route::of(Method::GET, "/api/v1/jobs/{id}", jobs::get),
        Route::of(Method::DELETE, "/api/v1/jobs/{id}", jobs::remove),
        Route::of(Method::GET, "/api/v1/jobs/{id}/result", job_output::result),
        Route::of(Method::GET, "/api/v1/jobs/{id}/log", job_output::log),
        Route::of(Method::GET, "/api/v1/jobs/{id}/events", events::events),
        Route::of(Method::POST, "/api/v1/jobs/{id}/cancel", jobs::cancel),
        Route::of(Method::POST, "/api/v1/jobs/{id}/rerun", jobs::rerun),
        Route::of(Method::POST, "/api/v1/repos", repos::add),
        Route::of(Method::GET, "/api/v1/repos", repos::list),
        Route::of(Method::GET, "/api/v1/repos/{id}", repos::get),
        Route::of(Method::PATCH, "/api/v1/repos/{id}", repos::change),
        Route::of(Method::DELETE, "/api/v1/repos/{id}", repos::remove),
        Route::of(Method::GET, "/api/v1/repos/{id}/secrets", secrets::list),
        Route::of(Method::PUT, "/api/v1/repos/{id}/secrets/{name}", secrets::set),
        Route::of(Method::DELETE, "/api/v1/repos/{id}/secrets/{name}", secrets::remove),
        Route::of(Method::GET, "/api/v1/deliveries", deliveries::list),
        Route::of(Method::GET, "/api/v1/deliveries/{id}", deliveries::get),
        Route::of(Method::POST, "/api/v1/deliveries/{id}/replay", deliveries::replay),
        Route::of(Method::POST, "/api/v1/deliveries/{id}/approve", deliveries::approve),
        Route::of(Method::POST, "/api/v1/tokens", tokens::make),
        Route::of(Method::GET, "/api/v1/tokens", tokens::list),
        Route::of(Method::DELETE, "/api/v1/tokens/{id}", tokens::revoke),
        Route::of(Method::GET, "/api/v1/usage", usage::show),
        Route::of(Method::GET, "/api/v1/stats", health::stats),
        Route::of(Method::GET, "/api/v1/audit", audit::list),
        Route::public(Method::POST, "/webhooks/github", webhooks::github),
        Route::public(Method::POST, "/webhooks/{id}", webhooks::of_repo),
        Route::public(Method::GET, "/openapi.json", openapi::openapi),
        Route::public(Method::GET, "/schema/faas-manifest.json", openapi::manifest_schema),
        Route::public(Method::GET, "/healthz", health::healthz),
        Route::public(Method::GET, "/readyz", health::readyz),
        Route::public(Method::GET, "/metrics", metrics::metrics),
        Route::of(Method::GET, "/", pages::home),
        Route::of(Method::GET, "/jobs/{id}", pages::job),
        Route::form(Method::POST, "/jobs/{id}/cancel", pages::cancel),
        Route::form(Method::POST, "/jobs/{id}/rerun", pages::rerun),
        Route::of(Method::GET, "/deliveries/{id}", pages::delivery::show),
        Route::form(Method::POST, "/deliveries/{id}/approve", pages::delivery::approve),
        Route::of(Method::GET, "/tokens", pages::tokens::show),
        Route::form(Method::POST, "/tokens", pages::tokens::make),
        Route::form(Method::POST, "/tokens/{id}/revoke", pages::tokens::revoke),
        Route::of(Method::GET, "/device", sign_in::device_page::show),
        Route::form(Method::POST, "/device", sign_in::device_page::answer),
        Route::form(Method::POST, "/link", sign_in::link::link),
        Route::public(Method::POST, "/login", pages::login),
        Route::public(Method::POST, "/logout", pages::logout),
        Route::public(Method::GET, "/assets/{name}", pages::asset),
    ]
}

/// Method and path of every route, for tests that must know them all.
pub fn endpoints() -> Vec<(Method, &'static str)> {
    routes().into_iter().map(|route| (route.method, route.path)).collect()
}

/// Everything that a gateway answers, with all that holds for every route.
pub fn app(gateway: Gateway) -> Router {
    let mut router = Router::new();
    let known = KnownParameters::of(&openapi::document());
    for Route { method, path, mut answer } in routes() {
        if let Some(names) = known.checked(&method, path) {
            answer = answer.layer(from_fn_with_state(names, reject_unknown_parameters));
        }
        // Published paths and all others are the same with and without a slash at their end.
        if path.len() > 1 && !path.ends_with('}') {
            router = router.route(&format!("{path}/"), answer.clone());
        }
        router = router.route(path, answer);
    }
    let edge = LayerState {
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
