//! `/metrics`.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;

use crate::{
    api::responses::AnyRequest,
    error::ApiError,
    index::{Index, Tables},
    metrics::Metrics,
};

/// `OpenMetrics`.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses(
        (status = 200, description = "As asked.", body = String, content_type = "application/openmetrics-text"),
        AnyRequest,
    ),
)]
pub(crate) async fn metrics(
    State(index): State<Arc<Index>>,
    State(metrics): State<Arc<Metrics>>,
) -> Result<Response, ApiError> {
    let (waiting, working) = index.run(Tables::open_counts).await?;
    let unposted = index.run(Tables::unposted_count).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], metrics.text(waiting, working, unposted)).into_response())
}
