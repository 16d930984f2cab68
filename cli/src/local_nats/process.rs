//! A `nats-server` of this machine as our child, or one that an earlier `up` started.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};

use super::address::{Address, write_secret};
use crate::child;

/// How long a server that was sent SIGTERM may take to flush its store.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a process that is not our child is polled for its exit.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Streams are promised their limits when they are made; by default the server promises no more than
/// what is free on the disk at that moment.
const MAX_FILE_STORE: &str = "100GB";

/// A running server.
#[derive(Debug)]
pub(crate) enum Process {
    /// Started by us.
    Child(Child),
    /// Started by an `up` that was killed.
    Other(Pid),
}

/// The `nats-server` in PATH that is new enough.
pub(crate) fn find() -> Option<PathBuf> {
    let programs = crate::config::path().into_iter().map(|dir| dir.join("nats-server"));
    programs.filter(|program| program.is_file()).find(|program| {
        let output = child::program(program).arg("--version").output();
        output.is_ok_and(|output| new_enough(&String::from_utf8_lossy(&output.stdout)))
    })
}

fn new_enough(version: &str) -> bool {
    let mut numbers =
        version.trim().rsplit('v').next().unwrap_or("").split('.').map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (2, 10)
}

fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("nats")
}

fn config_file(data_dir: &Path) -> PathBuf {
    dir(data_dir).join("nats.conf")
}

fn pid_file(data_dir: &Path) -> PathBuf {
    dir(data_dir).join("nats.pid")
}

/// The server's configuration. JSON's strings are also its strings.
fn configuration(address: &Address, data_dir: &Path) -> String {
    let text = |path: PathBuf| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!(
        "server_name: \"{}\"\nlisten: \"127.0.0.1:{}\"\npid_file: {}\n\
         jetstream {{ store_dir: {}, max_file_store: {MAX_FILE_STORE} }}\n\
         authorization {{ user: \"{}\", password: \"{}\" }}\n",
        address.server_name,
        address.port,
        text(pid_file(data_dir)),
        text(dir(data_dir)),
        address.user,
        address.password.expose(),
    )
}

impl Process {
    /// Starts a server. It has a process group of its own: Ctrl-C in a terminal reaches us, and it
    /// ends after everything that still needs it.
    pub(crate) fn start(program: &Path, address: &Address, data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir(data_dir)).context("cannot make the folder of NATS")?;
        let config = config_file(data_dir);
        write_secret(&config, configuration(address, data_dir).as_bytes())
            .context("cannot write nats.conf")?;
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir(data_dir).join("nats.log"))
            .context("cannot write nats.log")?;
        let child = Command::from(child::program(program))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self::Child(child))
    }

    /// The server that wrote its id in this directory and still runs with this directory's
    /// configuration: a process id alone may have been reused.
    pub(crate) fn reattach(data_dir: &Path) -> Option<Self> {
        let id: i32 = std::fs::read_to_string(pid_file(data_dir)).ok()?.trim().parse().ok()?;
        let command = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let config = config_file(data_dir);
        let ours = command.split(|byte| *byte == 0).any(|word| word == config.as_os_str().as_encoded_bytes());
        ours.then(|| Pid::from_raw(id)).flatten().map(Self::Other)
    }

    /// Returns when it has exited.
    pub(crate) async fn exited(&mut self) {
        match self {
            Self::Child(child) => {
                if let Err(error) = child.wait().await {
                    tracing::debug!(%error, "nats-server wait failed");
                }
            }
            Self::Other(pid) => {
                while test_kill_process(*pid).is_ok() {
                    tokio::time::sleep(EXIT_POLL_INTERVAL).await;
                }
            }
        }
    }

    /// Stops it: SIGTERM, and SIGKILL after a timeout.
    pub(crate) async fn stop(&mut self) {
        let Some(pid) = self.pid() else { return };
        // An error means that it has exited already.
        let _ = kill_process(pid, Signal::TERM);
        if tokio::time::timeout(STOP_TIMEOUT, self.exited()).await.is_err() {
            tracing::warn!("nats-server stop timed out; killing it");
            let _ = kill_process(pid, Signal::KILL);
            self.exited().await;
        }
    }

    fn pid(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => Pid::from_raw(i32::try_from(child.id()?).ok()?),
            Self::Other(pid) => Some(*pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("nats-server: v2.10.27\n" => true)]
    #[test_case("nats-server: v2.9.25\n" => false)]
    #[test_case("nats-server: v3.0.0" => true)]
    #[test_case("" => false)]
    fn is_new_enough(version: &str) -> bool {
        new_enough(version)
    }

    #[test]
    fn a_process_that_only_has_the_number_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(super::dir(dir.path())).unwrap();
        std::fs::write(pid_file(dir.path()), std::process::id().to_string()).unwrap();
        assert!(Process::reattach(dir.path()).is_none());
    }
}
