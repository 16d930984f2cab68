//! `"onPush": "build"` on real Docker, through the same steps as every job: what a forge told of is prepared and
//! not run, and a call of the same commit runs.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use jobs::{Cause, CommitSha, Fault, JobId, LogSource, Outcome, Phase, Trigger, manifest::Http};
use tokio_util::sync::CancellationToken;
use worker::{
    Config,
    attempt_context::AttemptContext,
    checkout::Credential,
    execution_report::ExecutionReport,
    execution_request::{ExecutionRequest, JobSource, Origin},
    identity::WorkerIdentity,
    output::LogSink,
    result_reuse::ReusableResult,
    sandbox::{CacheScope, JobTag},
    source::DirectoryFiles,
    startup,
};

const MANIFEST: &str =
    r#"{"language": "rust", "onPush": "build", "secrets": ["TOKEN"], "http": {"wait": 5}}"#;
const GREETS: &str = r#"fn main() { print!("hello, {}", std::env::var("TOKEN").unwrap()) }"#;

/// What was written, by phase.
#[derive(Default)]
struct Written(Mutex<Vec<(Phase, Vec<u8>)>>);

impl LogSink for Written {
    fn write(&self, phase: Phase, _: LogSource, bytes: Bytes) {
        self.0.lock().unwrap().push((phase, bytes.to_vec()));
    }
}

/// Gives every secret away, and knows what it was asked.
#[derive(Default)]
struct Asked {
    log: Arc<Written>,
    for_secrets: AtomicBool,
    for_superseding: AtomicBool,
}

impl AttemptContext for Asked {
    fn log(&self) -> Arc<dyn LogSink> {
        Arc::clone(&self.log) as Arc<dyn LogSink>
    }

    async fn credential(&self) -> Result<Option<Credential>, Outcome> {
        Ok(None)
    }

    async fn secrets(&self, names: &[String]) -> Result<Vec<(String, String)>, Outcome> {
        self.for_secrets.store(true, Ordering::Relaxed);
        Ok(names.iter().map(|name| (name.clone(), "world".to_owned())).collect())
    }

    async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

    fn may_be_superseded(&self, _: Option<bool>) {
        self.for_superseding.store(true, Ordering::Relaxed);
    }

    async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
        None
    }

    async fn reusable_result(&self) -> ReusableResult {
        ReusableResult::None
    }
}

/// One job of a function after another, in the same worker.
struct Worker {
    executor: worker::execute::Executor,
    function: tempfile::TempDir,
    _data: tempfile::TempDir,
}

impl Worker {
    async fn with(main: &str) -> Self {
        let (data, function) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |path: &str, text: &str| std::fs::write(function.path().join(path), text).unwrap();
        write("faas-manifest.json", MANIFEST);
        write("Cargo.toml", "[package]\nname = 'a'\nversion = '1.0.0'\nedition = '2024'\n");
        write("Cargo.lock", "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n");
        std::fs::create_dir(function.path().join("src")).unwrap();
        write("src/main.rs", main);
        let config = Config { slots: 1, ..Config::read(&|_| None, data.path()).unwrap() };
        let identity = WorkerIdentity::local(&config.data_dir).unwrap();
        let config = Config { data_dir: identity.directory.clone(), ..config };
        let executor = startup::build_executor(&config, &identity).await.unwrap();
        Self { executor, function, _data: data }
    }

    async fn execute(&self, trigger: Trigger, origin: Origin) -> (ExecutionReport, Asked) {
        let request = ExecutionRequest {
            tag: JobTag { job: JobId::new(), attempt: 1 },
            source: JobSource::Directory(DirectoryFiles::new(self.function.path().to_owned())),
            args: None,
            trigger,
            origin,
            is_function_call: false,
            paths: jobs::Filter::default(),
            cache_scope: CacheScope::new("a", "test".to_owned()),
        };
        let (context, stop) = (Asked::default(), CancellationToken::new());
        let slot = self.executor.sandbox.slot(0);
        let report = self.executor.execute(&slot, request, &context, &stop).await;
        (report, context)
    }
}

#[tokio::test]
async fn a_push_is_built_and_not_run_and_a_call_runs_what_was_built() {
    let worker = Worker::with(GREETS).await;
    let (built, asked) = worker.execute(Trigger::Push, Origin::Forge).await;
    assert_eq!(built.outcome, Outcome::Built, "{built:?}");
    assert_eq!((built.prepared, built.run, built.exit_code), (Some(false), None, None));
    assert!(built.prepare.is_some() && built.stdout.is_none());
    assert_eq!(built.http, Some(Http { wait_s: Some(5), ..Http::default() }));
    assert!(!asked.for_secrets.into_inner(), "nobody is there to be given one");
    assert!(!asked.for_superseding.into_inner(), "a build that began is not superseded");
    assert!(asked.log.0.lock().unwrap().iter().all(|(phase, _)| *phase != Phase::Run));

    let (called, asked) = worker.execute(Trigger::Call, Origin::Caller).await;
    assert_eq!(called.outcome, Outcome::Finished, "{called:?}");
    assert_eq!(called.prepared, Some(true), "the environment of the build");
    assert_eq!(called.stdout.unwrap().bytes, b"hello, ***", "the secret is there, and hidden");
    assert!(asked.for_secrets.into_inner() && asked.for_superseding.into_inner());

    let (again, _) = worker.execute(Trigger::Rerun, Origin::Forge).await;
    assert_eq!(again.outcome, Outcome::Built, "{again:?}");
    worker.executor.sandbox.stop().await;
}

#[tokio::test]
async fn a_build_that_fails_is_red() {
    let worker = Worker::with("fn main() { nothing of the kind }").await;
    let (report, _) = worker.execute(Trigger::Push, Origin::Forge).await;
    worker.executor.sandbox.stop().await;
    let Outcome::Failed { cause, fault, .. } = report.outcome else { panic!("{report:?}") };
    assert_eq!((cause, fault), (Cause::Prepare, Fault::Function));
}
