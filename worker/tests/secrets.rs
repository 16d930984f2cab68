//! A function that prints its secrets in every way it can: none of them leaves the worker. On real
//! Docker, through the same steps as every job.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jobs::{CommitSha, JobId, LogSource, Outcome, Phase, Trigger};
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

const TOKEN: &str = "s3cr/t \"pässword\"+=";
const KEY: &str =
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQDR\n-----END KEY-----\n";

const PROGRAM: &str = r#"
import base64, binascii, json, os, sys, time, urllib.parse
token, key = os.environ["TOKEN"], os.environ["KEY"]
for value in (token, key):
    raw = value.encode()
    for form in (
        value, value.strip(), repr(value), json.dumps(value), json.dumps({"a": value}, ensure_ascii=False),
        urllib.parse.quote(value), urllib.parse.quote_plus(value), urllib.parse.quote(value, safe="").lower(),
        raw.hex(), raw.hex().upper(),
        base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), base64.encodebytes(raw).decode(),
        base64.b64encode(b"x" + raw).decode(), base64.b64encode(b"xy" + raw + b"z").decode(),
    ):
        print("out", form)
        print("err", form, file=sys.stderr)
for byte in token.encode():
    os.write(1, bytes([byte]))
    os.write(2, bytes([byte]))
    time.sleep(0.002)
os.write(1, b"\n")
print(os.environ["PIN"], "visible", flush=True)
sys.exit(token)
"#;

#[derive(Default)]
struct Written(Mutex<Vec<(LogSource, Vec<u8>)>>);

impl LogSink for Written {
    fn write(&self, _: Phase, source: LogSource, bytes: Bytes) {
        self.0.lock().unwrap().push((source, bytes.to_vec()));
    }
}

struct WithSecrets(Arc<Written>);

impl AttemptContext for WithSecrets {
    fn log(&self) -> Arc<dyn LogSink> {
        self.0.clone()
    }

    async fn credential(&self) -> Result<Option<Credential>, Outcome> {
        Ok(None)
    }

    async fn secrets(&self, names: &[String]) -> Result<Vec<(String, String)>, Outcome> {
        let value = |name: &str| match name {
            "TOKEN" => TOKEN,
            "KEY" => KEY,
            _ => "123",
        };
        Ok(names.iter().map(|name| (name.clone(), value(name).to_owned())).collect())
    }

    async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

    async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
        None
    }

    async fn reusable_result(&self) -> ReusableResult {
        ReusableResult::None
    }
}

async fn run(log: &Arc<Written>) -> ExecutionReport {
    let (data, function) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = r#"{"language": "python", "mainFile": "m.py", "secrets": ["TOKEN", "KEY", "PIN"]}"#;
    std::fs::write(function.path().join("faas-manifest.json"), manifest).unwrap();
    std::fs::write(function.path().join("m.py"), PROGRAM).unwrap();
    let config = Config { slots: 1, ..Config::read(&|_| None, data.path()).unwrap() };
    let identity = WorkerIdentity::local(&config.data_dir).unwrap();
    let config = Config { data_dir: identity.directory.clone(), ..config };
    let executor = startup::build_executor(&config, &identity).await.unwrap();
    let request = ExecutionRequest {
        tag: JobTag { job: JobId::new(), attempt: 1 },
        source: JobSource::Directory(DirectoryFiles::new(function.path().to_owned())),
        args: None,
        trigger: Trigger::Call,
        origin: Origin::Caller,
        is_function_call: false,
        paths: jobs::Filter::default(),
        cache_scope: CacheScope::new("a", "test".to_owned()),
    };
    let context = WithSecrets(Arc::clone(log));
    let stop = CancellationToken::new();
    let report = executor.execute(&executor.sandbox.slot(0), request, &context, &stop).await;
    executor.sandbox.stop().await;
    report
}

#[tokio::test]
async fn no_secret_leaves_the_worker_in_any_form() {
    let log = Arc::new(Written::default());
    let report = run(&log).await;
    let written = log.0.lock().unwrap().clone();
    let of = |wanted: LogSource| {
        let bytes = written.iter().filter(|(source, _)| *source == wanted).flat_map(|(_, bytes)| bytes);
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    };
    let result = String::from_utf8_lossy(&report.stdout.as_ref().unwrap().bytes).into_owned();
    assert_eq!(result, of(LogSource::Stdout), "the result is what the log shows");
    assert!(result.contains("123 visible"), "{result}");
    assert!(of(LogSource::Gitfaas).contains("the secret PIN has fewer than 4 bytes"));
    let everything = format!(
        "{result}\n{}\n{}\n{:?}\n{:?}",
        of(LogSource::Stderr),
        of(LogSource::Gitfaas),
        report.error_tail,
        report.outcome
    );
    // Parts that every form has something of, as it is or encoded.
    for part in [
        "s3cr",
        "ssword",
        "MIIEvQIB",
        "EFAASCBK",
        "BEGIN KEY", // as it is
        "czNjci",
        "cGFzc",
        "AAgInDD",
        "TUlJRXZRSUJBR",
        "MSUlFdlFJQk",
        "UVGQUFTQ0JL", // base64
        "73336372",
        "4d494945765149",
        "4D494945765149", // hex
    ] {
        assert!(!everything.contains(part), "{part} in {everything}");
    }
    assert_eq!(report.exit_code, Some(1));
}
