//! `gitfaas run DIR --http`: a folder's function behind an address of this machine, called as a gateway would call it.
//!
//! Nothing is kept from one request to the next: the manifest and the files are read anew, so that whoever writes a
//! function saves a file and asks again. Whoever reaches the address may call, as with a public function, which is why
//! it is the loopback's.

mod answer;
mod log;
mod request;

use std::{
    future::IntoFuture as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use jobs::manifest::{self, Cors, Http};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use worker::{
    Config,
    local::{LocalCall, LocalSource, LocalWorker},
};

use crate::{exit::CommandResult, out::Stdout, serve, signals};
use answer::Failure;

/// Containers at once: one request beside a slow one, on the machine of somebody who works on it.
const JOBS_AT_ONCE: usize = 2;
/// Requests that run or wait for their turn: ten pages of a browser, which opens six connections each. With the
/// longest bodies they hold 60 MiB.
const MAX_REQUESTS: usize = 60;
/// For how long answers are still sent after Ctrl-C; the jobs have ended by then.
const GRACE: Duration = Duration::from_secs(5);

/// What answers requests.
struct Server {
    worker: LocalWorker,
    directory: PathBuf,
    turns: Semaphore,
    running: TaskTracker,
    stop: CancellationToken,
}

/// An address that only this machine reaches, for the command line.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "is no address with a port, such as 127.0.0.1:8080".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => {
            Err("is not of this machine alone, as 127.0.0.1 and [::1] are: whoever reaches it may call the \
                      function; `gitfaas up` serves others"
                .to_owned())
        }
    }
}

/// Answers requests until Ctrl-C.
pub(crate) async fn serve(config: Config, directory: PathBuf, address: SocketAddr) -> CommandResult {
    let stop = signals::stop()?;
    let bound = TcpListener::bind(address).await;
    let listener =
        bound.with_context(|| format!("cannot listen on {address}; --listen names another address"))?;
    let worker = LocalWorker::start(config, JOBS_AT_ONCE).await?;
    let server = Arc::new(Server {
        worker,
        directory,
        turns: Semaphore::new(MAX_REQUESTS),
        running: TaskTracker::new(),
        stop: stop.clone(),
    });
    let ready = format!("ready {}", serve::url(&listener)?);
    let router = Router::new().fallback(handle).with_state(Arc::clone(&server));
    let serving = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let told = Stdout::new().line(&ready);
    let served = match told {
        Ok(()) => tokio::select! {
            served = serving.into_future() => served.context("the listener failed"),
            () = grace_is_over(&stop) => Ok(()),
        },
        Err(error) => Err(error.into()),
    };
    stop.cancel();
    server.running.close();
    server.running.wait().await;
    server.worker.stop().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn grace_is_over(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// Answers in a task of its own, so that a client that goes away cancels nothing.
async fn handle(
    State(server): State<Arc<Server>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let task = Arc::clone(&server);
    let answering = server.running.spawn(async move {
        let begun = Instant::now();
        let response = task.answer(&parts, body, client).await;
        log::request(&parts, &response, begun.elapsed());
        response
    });
    answering.await.unwrap_or_else(|_| {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect of gitfaas").into_response()
    })
}

impl Server {
    async fn answer(&self, parts: &Parts, body: Body, client: SocketAddr) -> Response {
        let mut cors = None;
        let answered = self.try_answer(parts, body, client, &mut cors).await;
        let mut response = answered.unwrap_or_else(Failure::into_response);
        if let Some(cors) = cors {
            answer::share(&mut response, cors.answer(request::origin(&parts.headers)));
        }
        answer::confine(&mut response);
        response
    }

    async fn try_answer(
        &self,
        parts: &Parts,
        body: Body,
        client: SocketAddr,
        cors: &mut Option<Cors>,
    ) -> Result<Response, Failure> {
        if parts.headers.contains_key(header::UPGRADE) {
            let why = "functions answer HTTP/1.1 and HTTP/2 requests, no other protocol";
            return Err(Failure::new(StatusCode::UPGRADE_REQUIRED, why));
        }
        let Ok(_turn) = self.turns.try_acquire() else {
            let why = format!("{MAX_REQUESTS} requests run or wait already");
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, why));
        };
        let read = self.worker.manifest(&self.directory).await;
        let http = read.map_err(Failure::of_outcome)?.http.unwrap_or_default();
        if request::is_preflight(parts) {
            return preflight(parts, &http);
        }
        cors.clone_from(&http.cors);
        if !http.allows(parts.method.as_str()) {
            return Err(Failure::of_method(&http));
        }
        let reading = self.stop.run_until_cancelled(request::read(parts, body));
        let input = reading.await.unwrap_or_else(|| Err(ending()))?;
        let variables = request::variables(parts, client, input.len() as u64)?;
        let call = LocalCall { args: None, input, variables };
        let source = LocalSource::Directory(self.directory.clone());
        let job_log = log::JobLog::default();
        let end = self.worker.run(source, call, job_log.output(), &self.stop).await;
        job_log.end();
        let mut response = answer::of_end(&end, &http).unwrap_or_else(Failure::into_response);
        answer::describe(&mut response, &end);
        Ok(response)
    }
}

/// Answered without a job.
fn preflight(parts: &Parts, http: &Http) -> Result<Response, Failure> {
    let (Some(cors), Some(origin)) = (&http.cors, request::origin(&parts.headers)) else {
        let why = format!(
            "pages of other origins may not call the function: `http` of {} has no `cors`",
            manifest::MANIFEST_FILE
        );
        return Err(Failure::new(StatusCode::FORBIDDEN, why));
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    answer::share(&mut response, cors.preflight(origin));
    Ok(response)
}

/// Why a request is not answered any more.
fn ending() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "gitfaas is being ended")
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("127.0.0.1:8080" => true)]
    #[test_case("127.9.9.9:0" => true ; "another address of the loopback")]
    #[test_case("[::1]:8080" => true)]
    #[test_case("0.0.0.0:8080" => false ; "all addresses")]
    #[test_case("192.0.2.7:8080" => false ; "an address that others reach")]
    #[test_case("[::]:8080" => false ; "all of IPv6")]
    #[test_case("127.0.0.1" => false ; "no port")]
    #[test_case("localhost:8080" => false ; "a name may be anything")]
    fn addresses_of_this_machine_alone(text: &str) -> bool {
        loopback(text).is_ok()
    }
}
