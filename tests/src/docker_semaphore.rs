//! A semaphore over all test processes: at most two tests with containers run at once. More would only slow
//! each other down, and time-outs would mean nothing.

use std::{fs::File, sync::mpsc, thread};

/// How many at once; the machines that this runs on have two cores.
const AT_ONCE: usize = 2;

/// One of the places. Given back when it is dropped, also by a process that is killed.
#[derive(Debug)]
pub(crate) struct DockerPermit {
    _lock: File,
}

/// Waits for a place.
pub(crate) async fn acquire() -> DockerPermit {
    tokio::task::spawn_blocking(first_free).await.expect("waiting for a lock does not panic")
}

/// Waits for all places at once and keeps the first; the others are given back as they come.
fn first_free() -> DockerPermit {
    let (sender, receiver) = mpsc::sync_channel(0);
    for place in 0..AT_ONCE {
        let sender = sender.clone();
        thread::spawn(move || {
            let path = std::env::temp_dir().join(format!("gitfaas-tests-{place}.lock"));
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
            file.lock().expect("a file of ours can be locked");
            // Nobody receives any more: the place goes back with the file.
            let _ = sender.send(file);
        });
    }
    drop(sender);
    DockerPermit { _lock: receiver.recv().expect("one of the places gets free") }
}
