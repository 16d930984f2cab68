//! `/healthz`, `/readyz` and `/metrics` of a worker, for health checks on the same machine.

use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderValue, header};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, sandbox::Sandbox};

/// The form in which Prometheus is answered.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is told about a worker.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether jobs are taken.
    pub is_ready: AtomicBool,
    /// What was counted.
    pub metrics: Metrics,
    /// Its containers, once there are any.
    pub sandbox: OnceLock<Sandbox>,
}

/// Answers until `over`.
pub async fn serve(listener: TcpListener, health: Arc<Health>, over: CancellationToken) {
    while let Some(accepted) = over.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = health.answer(request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl Health {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let plain = |status, text: &'static str| (status, "text/plain; charset=utf-8", text.into());
        let (status, kind, body): (StatusCode, &'static str, Bytes) = match path {
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" if self.is_ready.load(Ordering::Relaxed) => plain(StatusCode::OK, "ready\n"),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => {
                let waiting = self.sandbox.get().map_or(0, Sandbox::waiting);
                (StatusCode::OK, OPEN_METRICS, self.metrics.text(waiting).into())
            }
            _ => plain(StatusCode::NOT_FOUND, "not found\n"),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_said_only_when_it_is_so() {
        let health = Health::default();
        let status = |path| health.answer(path).status();
        assert_eq!(status("/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        health.is_ready.store(true, Ordering::Relaxed);
        assert_eq!(status("/readyz"), StatusCode::OK);
        assert_eq!(status("/healthz"), StatusCode::OK);
        assert_eq!(status("/metrics"), StatusCode::OK);
        assert_eq!(status("/else"), StatusCode::NOT_FOUND);
    }
}
