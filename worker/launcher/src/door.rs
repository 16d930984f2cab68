//! The inside of a slot's one door: loopback in, a unix socket out. Nothing is decided here.
//!
//! This is also what keeps the network namespace alive which the slot's containers join, so a
//! connection that fails is dropped and the listener goes on.

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

/// Two threads each; a program that opens more waits for nothing and is hung up on.
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
        let (here, socket): (_, PathBuf) = (open.clone(), socket.to_owned());
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _ = forward(&stream, &socket);
            here.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Copies both ways until both are done.
fn forward(stream: &TcpStream, socket: &Path) -> io::Result<()> {
    let door = UnixStream::connect(socket)?;
    let _ = stream.set_nodelay(true);
    let (mut from_job, mut to_door) = (stream.try_clone()?, door.try_clone()?);
    let up = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _ = io::copy(&mut from_job, &mut to_door);
        let _ = to_door.shutdown(Shutdown::Write);
    })?;
    let _ = io::copy(&mut &door, &mut &*stream);
    let _ = stream.shutdown(Shutdown::Both);
    let _ = door.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
