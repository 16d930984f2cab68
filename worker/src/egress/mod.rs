//! The egress proxy: the only way out of a job's container.
//!
//! A job's containers have no interface but loopback. What they send to the proxy address there
//! arrives at one unix socket per slot, so the socket identifies the job. The proxy resolves names
//! itself and connects to the addresses that were authorized ([`hooks::address`]), so neither a
//! redirect nor a name that resolves differently the next time leads anywhere else.
//!
//! Nothing passes while no job is active, and when a job's phase ends, its connections are closed.

mod policy;
mod proxy;
mod tunnel;

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jobs::{LogSource, Phase};
use parking_lot::Mutex;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use policy::{Policy, Refusal};

use crate::sandbox::Chunk;

/// Connections of one job at once. The relay in the pause container has the same limit.
const MAX_CONNECTIONS: usize = 128;

/// Different refusals that the log of one phase gets; a job that meets more reports them itself.
const MAX_LOGGED_REFUSALS: usize = 20;

/// The longest path that fits into a socket's address.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The egress proxy of one slot. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EgressProxy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    active: Mutex<Option<Arc<ActivePhase>>>,
    connections: Arc<Semaphore>,
    closed: CancellationToken,
}

/// The phase of a job that the proxy serves now.
#[derive(Debug)]
pub(crate) struct ActivePhase {
    policy: Policy,
    phase: Phase,
    output: mpsc::Sender<Chunk>,
    logged: Mutex<HashSet<String>>,
    ended: CancellationToken,
}

/// Keeps the proxy open for one phase of a job; dropping it closes all connections of the phase.
#[derive(Debug)]
pub struct PhaseGuard {
    proxy: EgressProxy,
    active: Arc<ActivePhase>,
}

impl EgressProxy {
    /// Serves at `socket` until it is closed. A socket left there by an earlier process is replaced.
    pub async fn serve(socket: &Path) -> io::Result<Self> {
        let listener = listen(socket).await?;
        let proxy = Self(Arc::new(Shared {
            active: Mutex::new(None),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            closed: CancellationToken::new(),
        }));
        let (serving, closed) = (proxy.clone(), proxy.0.closed.clone());
        tokio::spawn(async move { closed.run_until_cancelled(serving.accept(listener)).await });
        Ok(proxy)
    }

    /// Admits one phase of a job, as far as `policy` allows. Refusals go to `output`.
    pub fn admit(&self, policy: Policy, phase: Phase, output: mpsc::Sender<Chunk>) -> PhaseGuard {
        let active = Arc::new(ActivePhase {
            policy,
            phase,
            output,
            logged: Mutex::default(),
            ended: self.0.closed.child_token(),
        });
        *self.active() = Some(active.clone());
        PhaseGuard { proxy: self.clone(), active }
    }

    /// Ends serving, and all connections.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    fn active(&self) -> parking_lot::MutexGuard<'_, Option<Arc<ActivePhase>>> {
        self.0.active.lock()
    }

    async fn accept(&self, listener: UnixListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors: let others finish.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            // A connection that is not admitted is closed.
            let (Some(active), Ok(permit)) =
                (self.active().clone(), self.0.connections.clone().try_acquire_owned())
            else {
                continue;
            };
            tokio::spawn(async move {
                let ended = active.ended.clone();
                ended.run_until_cancelled(proxy::serve(stream, active, Arc::new(permit))).await;
            });
        }
    }
}

impl Drop for PhaseGuard {
    fn drop(&mut self) {
        self.active.ended.cancel();
        let mut current = self.proxy.active();
        if current.as_ref().is_some_and(|active| Arc::ptr_eq(active, &self.active)) {
            *current = None;
        }
    }
}

impl ActivePhase {
    /// Writes a refusal to the job's log, each different one once; dropped while the log's queue is full.
    pub(crate) fn log_refusal(&self, refusal: &Refusal) {
        let line = format!("network: {refusal}\n");
        let mut logged = self.logged.lock();
        if logged.len() >= MAX_LOGGED_REFUSALS || !logged.insert(line.clone()) {
            return;
        }
        let bytes = Bytes::from(line);
        let _ = self.output.try_send(Chunk { phase: self.phase, source: LogSource::Gitfaas, bytes });
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Any uid may connect, since the pause container has none of ours; the directory protects the socket.
async fn listen(socket: &Path) -> io::Result<UnixListener> {
    if socket.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
        return Err(io::Error::other(format!(
            "the path of the socket is longer than {MAX_SOCKET_PATH_BYTES} bytes; use a data directory with a shorter path"
        )));
    }
    match tokio::fs::remove_file(socket).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(socket)?;
    tokio::fs::set_permissions(socket, PermissionsExt::from_mode(0o666)).await?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
