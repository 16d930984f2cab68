//! A process that a test started: its `ready` line, its output, its end by id.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::waiting::{START, STOP, within};

/// The end of a log that is shown when something went wrong.
const TAIL_LINES: usize = 40;

/// A running program. Dropped, it is asked to end, then killed.
#[derive(Debug)]
pub struct Program {
    name: String,
    id: Pid,
    log: PathBuf,
    ready: watch::Receiver<Option<String>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Program {
    /// Starts `command`; both its outputs go to `<logs>/<name>.log`.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        let mut file = File::options().create(true).append(true).open(&log).expect("a log can be written");
        let errors = file.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let child = command.spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        let id = Pid::from_child(&child);
        let (told, ready) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let output = child.stdout.take().expect("its output is piped");
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = writeln!(file, "{line}");
                if let Some(what) = line.strip_prefix("ready") {
                    told.send_replace(Some(what.trim().to_owned()));
                }
            }
            end.send_replace(Some(child.wait().expect("a child can be waited for")));
        });
        Self { name: name.to_owned(), id, log, ready, ended }
    }

    /// What stands in its line `ready …`, once it has printed it.
    pub async fn ready(&self) -> String {
        let mut ready = self.ready.clone();
        let what = format!("{} to be ready", self.name);
        let told = within(START, &what, ready.wait_for(Option::is_some), async || self.tail()).await;
        match told {
            Ok(told) => told.clone().expect("it was waited for"),
            Err(_) => panic!("{} ended before it was ready:\n{}", self.name, self.tail()),
        }
    }

    /// The end of what it wrote.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// All that it wrote.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks it to end, and waits.
    pub async fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Kills it, as a crash would.
    pub async fn kill(&self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.ended().await
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let what = format!("the end of {}", self.name);
        let end = within(STOP, &what, ended.wait_for(Option::is_some), async || self.tail()).await;
        end.ok().and_then(|status| *status).expect("the thread that waits lives as long as the process")
    }

    fn signal(&self, signal: Signal) {
        if self.ended.borrow().is_none() {
            let _ = kill_process(self.id, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the end of {}'s log:\n{}\n---", self.name, self.tail());
        }
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while self.ended.borrow().is_none() {
            if asked.elapsed() > STOP {
                self.signal(Signal::KILL);
            }
            thread::sleep(crate::waiting::ASK_AGAIN / 10);
        }
    }
}
