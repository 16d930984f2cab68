//! The list of routes.

use std::sync::Arc;

use axum::{
    Extension, Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{MethodFilter, MethodRouter, any, on},
};
use http::Method;
use utoipa::openapi::{PathItem, Paths, RefOr, schema::Schema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::{
    api::{
        aliases, audit, deliveries, events, function_calls, functions, health, job_output, jobs, metrics,
        openapi::{self, Description},
        published, repos, secrets, sign_in, tokens, usage, webhooks,
    },
    auth::rights::Right,
    extract::{KnownParameters, reject_unknown_parameters},
    html::form::FormRight,
    http::layers::{FUNCTIONS_ROUTE, LayerState, layered},
    pages,
    state::Gateway,
};

/// A route: its method and path, who answers, and what `/openapi.json` says of it.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    answer: MethodRouter<Gateway>,
    /// `None` of a page.
    described: Option<(Schemas, Paths)>,
}

type Schemas = Vec<(String, RefOr<Schema>)>;

impl Route {
    /// A route whose handler says in its first argument who may call it.
    fn of<H, T>(_: H, described: UtoipaMethodRouter<Gateway>) -> Self
    where
        H: Handler<T, Gateway>,
        T: BeginsWithRight + 'static,
    {
        Self::public(described)
    }

    /// A route for everybody, or one that proves in its own way who asks: webhooks by their signature, a
    /// sign-in by what the provider says, a refresh token by itself.
    fn public((schemas, paths, answer): UtoipaMethodRouter<Gateway>) -> Self {
        let (path, item) = paths.paths.first_key_value().expect("a handler is described with its path");
        let method = method_of(item);
        Self { method, path: path.clone(), answer, described: Some((schemas, paths)) }
    }

    /// A page, whose handler says in its first argument who may see it. Pages are not described.
    fn page<H, T>(method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: BeginsWithRight + 'static,
    {
        Self::public_page(method, path, handler)
    }

    /// A form of a page, whose last argument says who may send it: it reads the body.
    fn form<H, T>(method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: EndsWithRight + 'static,
    {
        Self::public_page(method, path, handler)
    }

    /// A route that takes every method, whose handler finds out itself who may call: functions.
    fn any<H, T>(path: &str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: 'static,
    {
        Self { method: Method::POST, path: path.to_owned(), answer: any(handler), described: None }
    }

    /// A page for everybody, or one where a token comes in the form.
    fn public_page<H, T>(method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, Gateway>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that axum routes");
        Self { method, path: path.to_owned(), answer: on(filter, handler), described: None }
    }
}

/// The one method that a handler is described with.
fn method_of(item: &PathItem) -> Method {
    let described = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    let found = described.into_iter().find(|(_, operation)| operation.is_some());
    found.expect("a handler is described with a method of the API").0
}

/// A handler that begins with a right, with its description.
macro_rules! of {
    ($handler:path) => {
        Route::of($handler, utoipa_axum::routes!($handler))
    };
}

/// A handler for everybody, with its description.
macro_rules! public {
    ($handler:path) => {
        Route::public(utoipa_axum::routes!($handler))
    };
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

/// Every route there is: what for programs is described at the handler, method and path included.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        of!(published::send_job),
        of!(published::job_status),
        of!(published::result),
        of!(published::list_jobs),
        of!(published::stats),
        public!(sign_in::authorize::authorize),
        public!(sign_in::callback::callback),
        public!(sign_in::device_grant::begin),
        public!(sign_in::device_grant::token),
        public!(sign_in::account::refresh),
        public!(sign_in::account::logout),
        of!(sign_in::account::whoami),
        of!(jobs::submit),
        of!(jobs::list),
        of!(jobs::get),
        of!(jobs::remove),
        of!(job_output::result),
        of!(job_output::log),
        of!(events::events),
        of!(jobs::cancel),
        of!(jobs::rerun),
        of!(repos::add),
        of!(repos::list),
        of!(repos::get),
        of!(repos::change),
        of!(repos::remove),
        of!(secrets::list),
        of!(secrets::set),
        of!(secrets::remove),
        of!(aliases::list),
        of!(aliases::set),
        of!(aliases::roll_back),
        of!(aliases::remove),
        of!(functions::list),
        of!(deliveries::list),
        of!(deliveries::get),
        of!(deliveries::replay),
        of!(deliveries::approve),
        of!(tokens::make),
        of!(tokens::list),
        of!(tokens::revoke),
        of!(usage::show),
        of!(health::stats),
        of!(audit::list),
        public!(webhooks::github),
        public!(webhooks::of_repo),
        public!(openapi::openapi),
        public!(openapi::manifest_schema),
        public!(health::healthz),
        public!(health::readyz),
        public!(metrics::metrics),
        Route::any(FUNCTIONS_ROUTE, function_calls::call),
        Route::page(Method::GET, "/", pages::home),
        Route::page(Method::GET, "/jobs/{id}", pages::job),
        Route::form(Method::POST, "/jobs/{id}/cancel", pages::cancel),
        Route::form(Method::POST, "/jobs/{id}/rerun", pages::rerun),
        Route::page(Method::GET, "/deliveries/{id}", pages::delivery::show),
        Route::form(Method::POST, "/deliveries/{id}/approve", pages::delivery::approve),
        Route::page(Method::GET, "/tokens", pages::tokens::show),
        Route::form(Method::POST, "/tokens", pages::tokens::make),
        Route::form(Method::POST, "/tokens/{id}/revoke", pages::tokens::revoke),
        Route::page(Method::GET, "/device", sign_in::device_page::show),
        Route::form(Method::POST, "/device", sign_in::device_page::answer),
        Route::form(Method::POST, "/link", sign_in::link::link),
        Route::public_page(Method::POST, "/login", pages::login),
        Route::public_page(Method::POST, "/logout", pages::logout),
        Route::public_page(Method::GET, "/assets/{name}", pages::asset),
    ]
}

/// Method and path of every route, for tests that must know them all.
pub fn endpoints() -> Vec<(Method, String)> {
    routes().into_iter().map(|route| (route.method, route.path)).collect()
}

/// `/openapi.json`, as every gateway of this version publishes it.
pub fn openapi_json() -> String {
    description(&routes())
}

/// `/openapi.json`: what the handlers of these routes say of themselves.
fn description(routes: &[Route]) -> String {
    let mut described = OpenApiRouter::<Gateway>::with_openapi(openapi::preamble());
    for (schemas, paths) in routes.iter().filter_map(|route| route.described.clone()) {
        described = described.routes((schemas, paths, MethodRouter::new()));
    }
    described.to_openapi().to_pretty_json().expect("a description is JSON")
}

/// Everything that a gateway answers, with all that holds for every route.
pub fn app(gateway: Gateway) -> Router {
    let mut router = Router::new();
    let routes = routes();
    let description = description(&routes);
    let known = KnownParameters::of(&serde_json::from_str(&description).expect("a description is JSON"));
    for Route { method, path, mut answer, .. } in routes {
        if let Some(names) = known.checked(&method, &path) {
            answer = answer.layer(from_fn_with_state(names, reject_unknown_parameters));
        }
        // Published paths and all others are the same with and without a slash at their end.
        if path.len() > 1 && !path.ends_with('}') {
            router = router.route(&format!("{path}/"), answer.clone());
        }
        router = router.route(&path, answer);
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
        .with_state(gateway)
        .layer(Extension(Description(description.into())));
    layered(router, edge)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A changed snapshot is a changed API: it is reviewed as such.
    #[test]
    fn the_description_of_the_api() {
        insta::assert_snapshot!("openapi", openapi_json());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&openapi_json()).unwrap();
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    rest.extend(fields.values());
                }
                Value::Array(items) => rest.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}
