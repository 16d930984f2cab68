//! Jobs here and now, without NATS: `gitfaas run`, with the worker's own code.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jobs::{CommitSha, JobId, LogSource, Outcome, Phase, Timings, Trigger, manifest::Manifest};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt_context::{AttemptContext, ProgramInput},
    checkout::Credential,
    config::Config,
    execute::Executor,
    execution_request::{ExecutionRequest, JobSource, Origin},
    identity::WorkerIdentity,
    output::{CapturedOutput, LogSink},
    result_reuse::ReusableResult,
    sandbox::{CacheScope, JobTag, Slot},
    source::{DirectoryFiles, Files},
    startup,
};

/// What to run.
#[derive(Debug, Clone)]
pub enum LocalSource {
    /// A directory, as it is.
    Directory(PathBuf),
    /// A repository, and a ref of it.
    Url {
        /// Where.
        url: jobs::CloneUrl,
        /// A branch, tag or commit.
        reference: Option<String>,
    },
}

/// What a program of a local run gets.
#[derive(Debug, Clone, Default)]
pub struct LocalCall {
    /// Arguments, where they are given; they replace the manifest's.
    pub args: Option<Vec<String>>,
    /// What it reads from standard input.
    pub input: Bytes,
    /// Variables of the request that it comes with ([`jobs::cgi`]); they beat the manifest's.
    pub variables: Vec<(String, String)>,
}

/// What a run came to.
#[derive(Debug)]
pub struct LocalEnd {
    /// Its id.
    pub job: JobId,
    /// What was run.
    pub source: LocalSource,
    /// The commit, where there is one.
    pub sha: Option<CommitSha>,
    /// Arguments, where they were given.
    pub args: Option<Vec<String>>,
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code, if it ran.
    pub exit_code: Option<i32>,
    /// How long its parts took.
    pub timings_ms: Timings,
    /// The most memory of the run.
    pub peak_memory_bytes: Option<u64>,
    /// Whether the environment was there already.
    pub prepared: Option<bool>,
    /// Standard output of the run.
    pub result: Option<CapturedOutput>,
}

/// Where the output of a local run goes.
pub type LocalOutput = Arc<dyn Fn(Phase, LogSource, &[u8]) + Send + Sync>;

struct LocalContext {
    output: LocalOutput,
    input: ProgramInput,
}

struct OutputSink(LocalOutput);

impl LogSink for OutputSink {
    fn write(&self, phase: Phase, source: LogSource, bytes: Bytes) {
        (self.0)(phase, source, &bytes);
    }
}

impl AttemptContext for LocalContext {
    fn log(&self) -> Arc<dyn LogSink> {
        Arc::new(OutputSink(Arc::clone(&self.output)))
    }

    async fn credential(&self) -> Result<Option<Credential>, Outcome> {
        Ok(None)
    }

    async fn secrets(&self, names: &[String]) -> Result<Vec<(String, String)>, Outcome> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let message = format!("manifest: secrets are not available to a local run: {}", names.join(", "));
        Err(Outcome::function(jobs::Cause::Manifest, message))
    }

    async fn input(&self) -> Result<ProgramInput, Outcome> {
        Ok(self.input.clone())
    }

    async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

    async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
        None
    }

    async fn reusable_result(&self) -> ReusableResult {
        ReusableResult::None
    }
}

/// A worker of its own for runs here, without a queue.
pub struct LocalWorker {
    executor: Executor,
    /// Of the slots that are free, each permit is one.
    free: Semaphore,
    slots: Mutex<Vec<Slot>>,
    /// Keeps other processes away.
    _identity: WorkerIdentity,
}

/// A slot that is given back when it is dropped; what may still run in it, it waits for itself.
struct Taken<'a> {
    worker: &'a LocalWorker,
    slot: Slot,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.worker.slots.lock().push(self.slot.clone());
    }
}

impl LocalWorker {
    /// Starts one that runs so many jobs at once.
    ///
    /// # Errors
    /// Docker cannot be used, or the disk.
    pub async fn start(config: Config, slots: usize) -> anyhow::Result<Self> {
        let config = Config { slots, ..config };
        let identity = WorkerIdentity::local(&config.data_dir)?;
        let config = Config { data_dir: identity.directory.clone(), ..config };
        let executor = startup::build_executor(&config, &identity).await?;
        let all = (0..slots).map(|index| executor.sandbox.slot(index)).collect();
        Ok(Self { executor, free: Semaphore::new(slots), slots: Mutex::new(all), _identity: identity })
    }

    /// The manifest of a directory, as a run that begins now would read it.
    ///
    /// # Errors
    /// What the run would end with.
    pub async fn manifest(&self, directory: &Path) -> Result<Manifest, Outcome> {
        self.executor.manifest(&Files::Directory(DirectoryFiles::new(directory.to_owned()))).await
    }

    /// Runs one job, once a slot is free.
    pub async fn run(
        &self,
        source: LocalSource,
        LocalCall { args, input, variables }: LocalCall,
        output: LocalOutput,
        stop: &CancellationToken,
    ) -> LocalEnd {
        let job = JobId::new();
        let (files, scope) = match &source {
            LocalSource::Directory(path) => (
                JobSource::Directory(DirectoryFiles::new(path.clone())),
                format!("directory {}", path.display()),
            ),
            LocalSource::Url { url, reference } => (
                JobSource::Commit { url: url.clone(), sha: None, reference: reference.clone(), before: None },
                format!("url {}", url.identity()),
            ),
        };
        let request = ExecutionRequest {
            tag: JobTag { job, attempt: 1 },
            source: files,
            args: args.clone(),
            trigger: Trigger::Call,
            origin: Origin::Caller,
            is_function_call: false,
            paths: jobs::Filter::default(),
            cache_scope: CacheScope::new("local", scope),
        };
        let context = LocalContext { output, input: ProgramInput { body: input, variables } };
        let taken = self.take().await;
        let report = self.executor.execute(&taken.slot, request, &context, stop).await;
        drop(taken);
        let ms = |duration: Option<std::time::Duration>| {
            duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        };
        LocalEnd {
            job,
            source,
            sha: report.sha,
            args,
            outcome: report.outcome,
            exit_code: report.exit_code,
            timings_ms: Timings {
                queued: None,
                checkout: ms(report.checkout),
                prepare: ms(report.prepare),
                run: ms(report.run),
            },
            peak_memory_bytes: report.peak_memory_bytes,
            prepared: report.prepared,
            result: report.stdout,
        }
    }

    async fn take(&self) -> Taken<'_> {
        let permit = self.free.acquire().await.expect("nobody closes it");
        let slot = self.slots.lock().pop().expect("there are as many slots as permits");
        Taken { worker: self, slot, _permit: permit }
    }

    /// Ends what still runs, and removes everything but prepared environments.
    pub async fn stop(&self) {
        self.executor.sandbox.clone().stop().await;
    }
}

/// Runs one job and removes everything that it needed but prepared environments.
///
/// # Errors
/// Docker cannot be used, or another defect of ours; a function that fails is an end.
pub async fn run(
    config: Config,
    source: LocalSource,
    call: LocalCall,
    output: LocalOutput,
    stop: CancellationToken,
) -> anyhow::Result<LocalEnd> {
    let worker = LocalWorker::start(config, 1).await?;
    let end = worker.run(source, call, output, &stop).await;
    worker.stop().await;
    Ok(end)
}

/// Writes standard output of the run to our own, and everything else to our error output.
pub fn to_terminal() -> LocalOutput {
    Arc::new(|phase, source, bytes| {
        // A terminal that is gone is no reason to fail the job.
        let _ = match (phase, source) {
            (Phase::Run, LogSource::Stdout) => {
                std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush())
            }
            (Phase::Checkout | Phase::Prepare | Phase::Run, _) => std::io::stderr().write_all(bytes),
        };
    })
}
