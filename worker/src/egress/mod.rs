//! The one door: the only way out of a job's container.
//!
//! A job's containers have no interface but loopback. What they send to the proxy address there
//! arrives at one unix socket per slot, so the socket tells who asks. The door resolves names
//! itself and connects to the addresses that were judged ([`hooks::address`]), so neither a
//! redirect nor a name that resolves differently the next time leads anywhere else.
//!
//! Nothing passes while no job is behind the door, and when a job's phase ends, all that it has
//! open is closed.

mod policy;
mod proxy;
mod tunnel;

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jobs::{LogSource, Phase};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use policy::{Policy, Refusal};

use crate::sandbox::Chunk;

/// What one job may have open at once. The holder has as many connections.
const MAX_CONNECTIONS: usize = 128;

/// A job that is refused more often than this says so itself; the log has the first ones.
const MAX_NOTES: usize = 20;

/// The longest path that fits into a socket's address.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The door of one slot. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    behind: Mutex<Option<Arc<Visitor>>>,
    connections: Arc<Semaphore>,
    closed: CancellationToken,
}

/// The job behind the door, in one of its phases.
#[derive(Debug)]
pub(crate) struct Visitor {
    policy: Policy,
    phase: Phase,
    notes: mpsc::Sender<Chunk>,
    noted: Mutex<HashSet<String>>,
    gone: CancellationToken,
}

/// Keeps the door open for one job's phase; dropping it closes all the job's connections.
#[derive(Debug)]
pub struct Opened {
    door: Door,
    visitor: Arc<Visitor>,
}

impl Door {
    /// Serves at `socket` until it is closed. A socket left there by an earlier process is replaced.
    pub async fn serve(socket: &Path) -> io::Result<Self> {
        let listener = listen(socket).await?;
        let door = Self(Arc::new(Inside {
            behind: Mutex::new(None),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            closed: CancellationToken::new(),
        }));
        let (serving, closed) = (door.clone(), door.0.closed.clone());
        tokio::spawn(async move { closed.run_until_cancelled(serving.accept(listener)).await });
        Ok(door)
    }

    /// Lets one job through for one phase, as far as `policy` says. Refusals go to `notes`.
    pub fn open(&self, policy: Policy, phase: Phase, notes: mpsc::Sender<Chunk>) -> Opened {
        let visitor = Arc::new(Visitor {
            policy,
            phase,
            notes,
            noted: Mutex::default(),
            gone: self.0.closed.child_token(),
        });
        *self.behind() = Some(visitor.clone());
        Opened { door: self.clone(), visitor }
    }

    /// Ends serving, and all connections.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    fn behind(&self) -> std::sync::MutexGuard<'_, Option<Arc<Visitor>>> {
        self.0.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self, listener: UnixListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors: let others finish.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            // A connection that is not taken is hung up on.
            let (Some(visitor), Ok(permit)) =
                (self.behind().clone(), self.0.connections.clone().try_acquire_owned())
            else {
                continue;
            };
            tokio::spawn(async move {
                let gone = visitor.gone.clone();
                gone.run_until_cancelled(proxy::serve(stream, visitor, Arc::new(permit))).await;
            });
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.visitor.gone.cancel();
        let mut behind = self.door.behind();
        if behind.as_ref().is_some_and(|visitor| Arc::ptr_eq(visitor, &self.visitor)) {
            *behind = None;
        }
    }
}

impl Visitor {
    /// Tells the job's log, once per sentence. A log that is full just now has other lines.
    pub(crate) fn note(&self, refusal: &Refusal) {
        let line = format!("network: {refusal}\n");
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MAX_NOTES || !noted.insert(line.clone()) {
            return;
        }
        let bytes = Bytes::from(line);
        let _ = self.notes.try_send(Chunk { phase: self.phase, source: LogSource::Gitfaas, bytes });
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

/// Any uid may connect, since the holder has none of ours; who cannot reach the directory cannot.
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
