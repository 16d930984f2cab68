//! `/f/…`: calls of functions. Everything else about them is in [`crate::functions`].

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::Request;

use crate::functions::Functions;

/// Any request to a function; who may call is decided by its registration.
pub(crate) async fn call(State(functions): State<Arc<Functions>>, request: Request<Body>) -> Response {
    functions.serve(request).await
}
