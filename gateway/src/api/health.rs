//! `/healthz`, `/readyz` and `/api/v1/stats`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::{Ledger, api::Stats, streams};

use crate::{
    api::responses::WithScope,
    auth::rights::{JobsRead, Reader},
    error::ApiError,
    index::{Index, Tables},
    state::Gateway,
};

/// Whoever asks whether we are ready waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "healthz",
    responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain"),
    ),
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// NATS answers, its buckets take writes, and lists are complete.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "readyz",
    responses(
        (status = 200, description = "Ready.", body = String, content_type = "text/plain"),
        (status = 503, description = "Not ready, and why.", body = String, content_type = "text/plain"),
    ),
)]
pub(crate) async fn readyz(State(gateway): State<Gateway>) -> Response {
    let asked = tokio::time::timeout(PATIENCE, gateway.not_ready()).await;
    match asked.unwrap_or_else(|_| Some("nats does not answer".to_owned())) {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

impl Gateway {
    /// Why this gateway cannot do its work now; `None` when it can.
    async fn not_ready(&self) -> Option<String> {
        if let Err(error) = self.ledger.js.get_stream(format!("KV_{}", streams::JOBS_BUCKET)).await {
            return Some(format!("nats: {error}"));
        }
        if let Some(why) = self.capacity.full_store() {
            return Some(why);
        }
        if self.keys.is_outdated() {
            return Some(
                "the master key was changed; this gateway must be started with the new one".to_owned(),
            );
        }
        (!self.caught_up.is_complete()).then(|| "the index is being filled".to_owned())
    }
}

/// How the service is doing; for admins.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "api", operation_id = "getStats",
    responses(
        (status = 200, description = "Counts.", body = Stats),
        WithScope,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn stats(
    caller: Reader<JobsRead>,
    State(index): State<Arc<Index>>,
    State(ledger): State<Ledger>,
) -> Result<Json<Stats>, ApiError> {
    if !caller.is_admin() {
        return Err(ApiError::Forbidden("an admin's token is needed".to_owned()));
    }
    let (waiting, working) = index.run(Tables::open_counts).await?;
    let mut observer = ledger.observer.get("now").await?.map(|entry| entry.value);
    if let Some(serde_json::Value::Object(fields)) = &mut observer {
        fields.remove("nonce");
        fields.remove("v");
    }
    Ok(Json(Stats { waiting, working, observer }))
}
