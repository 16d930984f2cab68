//! `/metrics`.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;

use crate::{error::ApiError, state::Gateway};

/// `GET /metrics`
pub(crate) async fn metrics(State(gateway): State<Gateway>) -> Result<Response, ApiError> {
    let (waiting, working) = gateway.index.open_counts()?;
    let unposted = gateway.index.unposted_count()?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], gateway.metrics.text(waiting, working, unposted)).into_response())
}
