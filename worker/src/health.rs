//! `/healthz`, `/readyz` and `/metrics` of a worker, for health checks on the same machine.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers until `over`.
pub async fn serve(listener: TcpListener, is_ready: Arc<AtomicBool>, over: CancellationToken) {
    while let Some(accepted) = over.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let is_ready = Arc::clone(&is_ready);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = answer(request.uri().path(), is_ready.load(Ordering::Relaxed));
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn answer(path: &str, is_ready: bool) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if is_ready => (StatusCode::OK, "ready\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_said_only_when_it_is_so() {
        assert_eq!(answer("/readyz", false).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer("/readyz", true).status(), StatusCode::OK);
        assert_eq!(answer("/healthz", false).status(), StatusCode::OK);
        assert_eq!(answer("/else", true).status(), StatusCode::NOT_FOUND);
    }
}
