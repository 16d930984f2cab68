//! `gitfaas run` on real Docker: the worker's own code without NATS.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jobs::{Cause, LogSource, Outcome, Phase, State};
use tokio_util::sync::CancellationToken;
use worker::{
    Config,
    local::{LocalCall, LocalEnd, LocalSource, run},
};

struct Ran {
    end: LocalEnd,
    stdout: Vec<u8>,
}

/// Runs a directory with a data directory of its own.
async fn run_dir(directory: &Path, args: Option<&[&str]>) -> Ran {
    let args = args.map(|args| args.iter().map(|&arg| arg.to_owned()).collect());
    run_call(directory, LocalCall { args, ..LocalCall::default() }).await
}

async fn run_call(directory: &Path, call: LocalCall) -> Ran {
    let data = tempfile::tempdir().unwrap();
    let config = Config::read(&|_| None, data.path()).unwrap();
    let stdout = Arc::new(Mutex::new(Vec::new()));
    let output = {
        let stdout = Arc::clone(&stdout);
        Arc::new(move |phase, source, bytes: &[u8]| {
            if (phase, source) == (Phase::Run, LogSource::Stdout) {
                stdout.lock().unwrap().extend_from_slice(bytes);
            }
        })
    };
    let source = LocalSource::Directory(directory.to_owned());
    let end = run(config, source, call, output, CancellationToken::new()).await.unwrap();
    let stdout = stdout.lock().unwrap().clone();
    Ran { end, stdout }
}

fn function(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn hello(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner-images").join(language).join("hello")
}

#[tokio::test]
async fn the_hello_of_python_runs() {
    let ran = run_dir(&hello("python"), None).await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{:?}", ran.end);
    assert!(String::from_utf8_lossy(&ran.stdout).to_lowercase().contains("hello"));
    assert_eq!(ran.end.outcome.state(), State::Finish);
}

/// What shells, npm's among them, would make something else of.
const ARGS: [&str; 9] = ["a b", "", "$(reboot)", "`id`", "it's \"quoted\"", "two\nlines", "-h", "ünï", "*"];

#[tokio::test]
async fn arguments_arrive_exactly_as_given() {
    let dir = function(&[
        ("faas-manifest.json", r#"{"language": "python", "mainFile": "m.py", "arg": "from the manifest"}"#),
        ("m.py", "import sys, json\nprint(json.dumps(sys.argv[1:]), end='')"),
    ]);
    let ran = run_dir(dir.path(), Some(&ARGS)).await;
    assert_eq!(serde_json::from_slice::<Vec<String>>(&ran.stdout).unwrap(), ARGS);
}

#[tokio::test]
async fn arguments_arrive_exactly_as_given_through_npm() {
    let dir = function(&[
        ("faas-manifest.json", r#"{"language": "nodeJS"}"#),
        ("package.json", r#"{"name": "a", "version": "1.0.0", "scripts": {"start": "node m.js"}}"#),
        ("m.js", "process.stdout.write(JSON.stringify(process.argv.slice(2)))"),
    ]);
    let ran = run_dir(dir.path(), Some(&ARGS)).await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{:?}", ran.end);
    assert_eq!(serde_json::from_slice::<Vec<String>>(&ran.stdout).unwrap(), ARGS);
}

#[tokio::test]
async fn arguments_arrive_exactly_as_given_in_rust() {
    let print = r#"fn main() { print!("{:?}", std::env::args().skip(1).collect::<Vec<_>>()) }"#;
    let dir = function(&[
        ("faas-manifest.json", r#"{"language": "rust"}"#),
        ("Cargo.toml", "[package]\nname = 'a'\nversion = '1.0.0'\nedition = '2024'\n"),
        ("src/main.rs", print),
    ]);
    let ran = run_dir(dir.path(), Some(&ARGS)).await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{:?}", ran.end);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{ARGS:?}"));
}

#[tokio::test]
async fn a_megabyte_of_input_comes_back_to_the_byte_and_can_be_read_again() {
    let program = r"
import sys
stdin = sys.stdin.buffer
stdin.seek(-3, 2)
end = stdin.read()
stdin.seek(0)
sys.stdout.buffer.write(stdin.read() + end)
";
    let dir = function(&[
        ("faas-manifest.json", r#"{"language": "python", "mainFile": "m.py"}"#),
        ("m.py", program),
    ]);
    let input: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    let call = LocalCall { input: input.clone().into(), ..LocalCall::default() };
    let ran = run_call(dir.path(), call).await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{:?}", ran.end);
    assert!(ran.stdout == [&input[..], &input[input.len() - 3..]].concat(), "{}", ran.stdout.len());
}

#[tokio::test]
async fn a_failing_function_ends_with_its_code_and_its_last_words() {
    let dir = function(&[
        ("faas-manifest.json", r#"{"language": "python", "mainFile": "m.py"}"#),
        ("m.py", "raise SystemExit(3)"),
    ]);
    let ran = run_dir(dir.path(), None).await;
    assert_eq!(ran.end.outcome, Outcome::function(Cause::Exit, "exit code 3"));
    assert_eq!(ran.end.exit_code, Some(3));
}

#[tokio::test]
async fn a_wrong_manifest_starts_no_container_and_names_every_field() {
    let dir = function(&[("faas-manifest.json", r#"{"language": "python", "timeout": "soon"}"#)]);
    let ran = run_dir(dir.path(), None).await;
    let Outcome::Failed { cause, message, .. } = ran.end.outcome else { panic!("it ended well") };
    assert_eq!(cause, Cause::Manifest);
    insta::assert_snapshot!(message, @"manifest: timeout must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`; mainFile is missing (python needs it)");
}
