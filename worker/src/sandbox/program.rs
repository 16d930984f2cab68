//! What goes into a container, what comes out of it, and how it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::{JobId, LogSource, Phase};

use crate::environments::Environment;
use crate::runner::Runner;
use crate::source::Tree;

/// Whose container it is. Part of its name, so that anyone can tell when it is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobTag {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: u32,
}

/// A program to run.
#[derive(Clone)]
pub struct Program {
    /// Its language.
    pub runner: Arc<Runner>,
    /// Program and arguments, exactly.
    pub argv: Vec<String>,
    /// Variables besides the sandbox's and the runner's own, which they override.
    pub env: Vec<(String, String)>,
    /// What lies in `/work`.
    pub tree: Tree,
    /// What it reads from standard input.
    pub input: Bytes,
    /// What lies in `/env`, read-only.
    pub environment: Option<Environment>,
    /// What it may use.
    pub limits: Limits,
}

/// Without the values of the environment, which may be secrets.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.env.iter().map(|(name, _)| name);
        f.debug_struct("Program")
            .field("language", &self.runner.language)
            .field("argv", &self.argv)
            .field("env", &names.collect::<Vec<_>>())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a program may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time, from the program's start.
    pub time: Duration,
    /// Memory of its processes; files in `/work` and `/tmp` are not counted against it.
    pub memory_bytes: u64,
    /// The size of `/work`.
    pub disk_bytes: u64,
    /// Thousandths of a processor; more than there are is as many as there are.
    pub cpu_millis: u64,
    /// What it may write to both outputs together.
    pub output_bytes: u64,
    /// Which hosts it may reach.
    pub network: Network,
}

/// Which hosts a program may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Public hosts, through the egress proxy.
    Egress,
    /// No host; the egress proxy refuses everything.
    None,
}

/// A request for an environment.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// The language; its `prepare` command is run.
    pub runner: Arc<Runner>,
    /// Exactly the files that the environment depends on.
    pub inputs: Tree,
    /// Variables besides the sandbox's and the runner's own.
    pub env: Vec<(String, String)>,
    /// Within which the environment is shared.
    pub cache_scope: CacheScope,
    /// When it expires.
    pub expiry: Expiry,
}

/// Within which mirrors and environments are shared, and whose disk quota they count against.
///
/// Jobs with the same scope share. It names the repository, and the pull request if there is one, so that
/// nothing made by a pull request is used by a branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheScope {
    owner: String,
    scope: String,
}

impl CacheScope {
    /// The scope `scope` of `owner`.
    pub fn new(owner: impl std::fmt::Display, scope: String) -> Self {
        Self { owner: owner.to_string(), scope }
    }

    /// The owner whose quota is charged.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The scope itself.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

/// When a cached environment expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// A lockfile names every package exactly.
    Never,
    /// After 24 hours: without a lockfile the newest packages are wanted.
    Daily,
}

/// An environment to use.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What to mount.
    pub environment: Environment,
    /// It was there already.
    pub reused: bool,
}

/// A piece of what a job writes, as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// When.
    pub phase: Phase,
    /// Where from; [`LogSource::Gitfaas`] for our own notes, which are whole lines.
    pub source: LogSource,
    /// What; any bytes, 64 KiB at most.
    pub bytes: Bytes,
}

/// How the program's processes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran; [`End::sentence`] says why.
    NotStarted,
    /// The container vanished: killed from outside, or Docker was restarted.
    Unknown,
}

/// How a program ended, and what it met on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How its first process ended.
    pub exit: Exit,
    /// Why it could not be started, or what it could not do, in one sentence.
    pub sentence: Option<String>,
    /// Its time was up.
    pub timed_out: bool,
    /// It was ended because the caller asked for it.
    pub stopped: bool,
    /// Processes that were killed because memory was exhausted.
    pub oom_kills: u64,
    /// A new process was refused because there were too many.
    pub processes_refused: bool,
    /// `/work`, `/tmp` or (in *prepare*) the environment is full.
    pub disk_full: bool,
    /// It wrote more than it may; the rest was dropped and it was ended.
    pub output_exceeded: bool,
    /// The most memory it held at once, files in memory included.
    pub peak_memory_bytes: Option<u64>,
    /// The size of the environment that it made, in *prepare*.
    pub filled_bytes: Option<u64>,
    /// From the program's start to its end.
    pub duration: Duration,
}

impl End {
    /// An end of which nothing more is known.
    pub(crate) fn unknown(duration: Duration) -> Self {
        Self {
            exit: Exit::Unknown,
            sentence: None,
            timed_out: false,
            stopped: false,
            oom_kills: 0,
            processes_refused: false,
            disk_full: false,
            output_exceeded: false,
            peak_memory_bytes: None,
            filled_bytes: None,
            duration,
        }
    }

    /// As the launcher reported it.
    pub(crate) fn reported(end: launcher::End, duration: Duration) -> Self {
        let exit = match (end.exit_code, end.signal) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::NotStarted,
        };
        Self {
            exit,
            sentence: end.error,
            timed_out: end.timed_out,
            stopped: false,
            oom_kills: end.oom_kills,
            processes_refused: end.processes_refused > 0,
            disk_full: end.disk_full,
            output_exceeded: end.output_exceeded,
            peak_memory_bytes: end.peak_memory_bytes,
            filled_bytes: end.filled_bytes,
            duration,
        }
    }

    /// Exit code 0 and no limit in the way. A full disk alone is no failure.
    pub fn is_success(&self) -> bool {
        self.exit == Exit::Code(0)
            && !self.timed_out
            && !self.stopped
            && !self.output_exceeded
            && self.oom_kills == 0
            && self.sentence.is_none()
    }
}
