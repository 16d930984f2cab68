//! The relay of a pause container: passes connections on loopback to the worker's egress proxy over a
//! unix socket. It decides nothing.
//!
//! Its process also keeps the network namespace alive that the slot's containers join, so a connection
//! that fails is dropped and the listener goes on.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Where the proxy variables of a job point to.
const LISTEN: &str = "127.0.0.1:3128";

/// Two threads each; further connections are closed at once.
const MAX_CONNECTIONS: usize = 128;

/// Small, since each connection has two of them.
const STACK_BYTES: usize = 128 * 1024;

/// Serves until the container is removed.
pub(crate) fn serve(socket: &Path) -> ExitCode {
    let listener = match TcpListener::bind(LISTEN) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("gitfaas: cannot listen on {LISTEN}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (connections, socket): (_, PathBuf) = (open.clone(), socket.to_owned());
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _ = forward(&stream, &socket);
            connections.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Copies both ways until both are done.
fn forward(stream: &TcpStream, socket: &Path) -> io::Result<()> {
    let proxy = UnixStream::connect(socket)?;
    let _ = stream.set_nodelay(true);
    let (mut from_job, mut to_proxy) = (stream.try_clone()?, proxy.try_clone()?);
    let up = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _ = io::copy(&mut from_job, &mut to_proxy);
        let _ = to_proxy.shutdown(Shutdown::Write);
    })?;
    let _ = io::copy(&mut &proxy, &mut &*stream);
    let _ = stream.shutdown(Shutdown::Both);
    let _ = proxy.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
