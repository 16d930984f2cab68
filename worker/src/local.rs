//! One job here and now, without NATS: `gitfaas run`, with the worker's own code.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use jobs::{CommitSha, JobId, LogSource, Outcome, Phase, Timings, Trigger};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt_context::{AttemptContext, ProgramInput},
    checkout::Credential,
    config::Config,
    execution_request::{ExecutionRequest, JobSource, Origin},
    identity::WorkerIdentity,
    output::{CapturedOutput, LogSink},
    result_reuse::ReusableResult,
    sandbox::{CacheScope, JobTag},
    source::DirectoryFiles,
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
    input: Bytes,
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
        Ok(ProgramInput { body: self.input.clone(), variables: Vec::new() })
    }

    async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

    async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
        None
    }

    async fn reusable_result(&self) -> ReusableResult {
        ReusableResult::None
    }
}

/// Runs one job and removes everything that it needed but prepared environments.
///
/// # Errors
/// Docker cannot be used, or another defect of ours; a function that fails is an end.
pub async fn run(
    config: Config,
    source: LocalSource,
    LocalCall { args, input }: LocalCall,
    output: LocalOutput,
    stop: CancellationToken,
) -> anyhow::Result<LocalEnd> {
    let config = Config { slots: 1, ..config };
    let identity = WorkerIdentity::local(&config.data_dir)?;
    let config = Config { data_dir: identity.directory.clone(), ..config };
    let executor = startup::build_executor(&config, &identity).await?;
    let job = JobId::new();
    let (files, scope) = match &source {
        LocalSource::Directory(path) => {
            (JobSource::Directory(DirectoryFiles::new(path.clone())), format!("directory {}", path.display()))
        }
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
    let context = LocalContext { output, input };
    let report = executor.execute(&executor.sandbox.slot(0), request, &context, &stop).await;
    executor.sandbox.stop().await;
    let ms = |duration: Option<std::time::Duration>| {
        duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    };
    Ok(LocalEnd {
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
    })
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
