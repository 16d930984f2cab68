//! The launcher as an ordinary process: what it is told, what it says, how it ends.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use launcher::{Decoder, End, Fill, Frame, Link, ProgramSpec};

struct Launcher {
    child: Child,
    input: ChildStdin,
}

/// What came up before the end, and the end.
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: Option<End>,
}

fn shell(dir: &Path, script: &str) -> ProgramSpec {
    ProgramSpec {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: dir.to_owned(),
        deadline_ms: 20_000,
        output_bytes: 1 << 20,
        links: Vec::new(),
        fill: None,
    }
}

fn start(spec: &ProgramSpec, tar: &[u8]) -> Launcher {
    start_with(spec, tar, b"")
}

fn start_with(spec: &ProgramSpec, tar: &[u8], stdin: &[u8]) -> Launcher {
    let mut child = Command::new(env!("CARGO_BIN_EXE_launcher"))
        .arg("wait")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&spec.encode()).unwrap();
    input.write_all(&(tar.len() as u64).to_be_bytes()).unwrap();
    input.write_all(tar).unwrap();
    input.write_all(&(stdin.len() as u64).to_be_bytes()).unwrap();
    input.write_all(stdin).unwrap();
    Launcher { child, input }
}

fn run(spec: &ProgramSpec, tar: &[u8]) -> Said {
    run_with(spec, tar, b"")
}

fn run_with(spec: &ProgramSpec, tar: &[u8], stdin: &[u8]) -> Said {
    let mut launcher = start_with(spec, tar, stdin);
    let said = listen(&mut launcher.child);
    drop(launcher.input);
    launcher.child.wait().unwrap();
    said
}

fn listen(child: &mut Child) -> Said {
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    let mut said = Said { stdout: Vec::new(), stderr: Vec::new(), end: None };
    while let Some(frame) = decoder.take().unwrap() {
        assert!(said.end.is_none(), "nothing follows the end");
        match frame {
            Frame::Ready | Frame::Started => {}
            Frame::Stdout(bytes) => said.stdout.extend(bytes),
            Frame::Stderr(bytes) => said.stderr.extend(bytes),
            Frame::End(end) => said.end = Some(end),
        }
    }
    said
}

fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn both_outputs_and_the_exit_code_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&shell(dir.path(), r"printf 'a\377'; printf b >&2; exit 7"), &[]);
    assert_eq!(said.stdout, b"a\xff");
    assert_eq!(said.stderr, b"b");
    assert_eq!(said.end.unwrap().exit_code, Some(7));
}

#[test]
fn the_tree_is_in_place_and_arguments_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "");
    spec.argv = ["./show", "a b", "$(id)", "\"'\n", ""].map(str::to_owned).to_vec();
    let tar = tar_of("show", b"#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    let said = run(&spec, &tar);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "<a b><$(id)><\"'\n><>");
}

#[test]
fn the_input_of_the_program_is_empty_and_its_environment_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&shell(dir.path(), "cat; env | grep -v -e ^PWD -e ^SHLVL -e ^_"), &[]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "PATH=/usr/bin:/bin\n");
}

#[test]
fn the_input_of_the_program_is_exact_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let said = run_with(&shell(dir.path(), "cat"), &tar_of("a", b"x"), &bytes);
    assert!(said.stdout == bytes, "{} bytes came back", said.stdout.len());
    assert_eq!(said.end.unwrap().exit_code, Some(0));
}

#[test]
fn the_input_can_be_read_in_parts_and_again_and_has_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        "head -c 3; echo; cat /dev/stdin; readlink /proc/self/fd/0; echo x 2>/dev/null >&0 || echo read-only";
    let said = run_with(&shell(dir.path(), script), &[], b"abcdef\0\xff\n");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.starts_with("abc\nabcdef\0\u{fffd}\n/tmp/.gitfaas-input-"), "{text:?}");
    assert!(text.ends_with(" (deleted)\nread-only\n"), "{text:?}");
}

#[test]
fn a_program_need_not_read_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let said = run_with(&shell(dir.path(), "echo done"), &[], &vec![7; 3 << 20]);
    assert_eq!((said.stdout.as_slice(), said.end.unwrap().exit_code), (b"done\n".as_slice(), Some(0)));
}

#[test]
fn a_program_that_ignores_its_time_is_ended_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "trap '' TERM; echo on; while :; do sleep 1; done");
    spec.deadline_ms = 300;
    let end = run(&spec, &[]).end.unwrap();
    assert!(end.timed_out);
    assert_eq!(end.signal, Some(9));
}

#[test]
fn a_background_process_that_holds_the_output_does_not_hold_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let before = Instant::now();
    let said = run(&shell(dir.path(), "sleep 30 & echo done"), &[]);
    assert_eq!(said.stdout, b"done\n");
    assert_eq!(said.end.unwrap().exit_code, Some(0));
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[test]
fn output_beyond_the_limit_ends_the_program_and_is_cut_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "yes");
    spec.output_bytes = 100_001;
    let said = run(&spec, &[]);
    assert_eq!(said.stdout.len(), 100_001);
    assert!(said.end.unwrap().output_exceeded);
}

#[test]
fn nothing_is_lost_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&shell(dir.path(), "head -c 1000000 /dev/zero; kill -11 $$"), &[]);
    assert_eq!(said.stdout.len(), 1_000_000);
    assert_eq!(said.end.unwrap().signal, Some(11));
}

#[test]
fn a_program_that_is_not_there_is_127_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "");
    spec.argv = vec!["no-such-program".into()];
    let said = run(&spec, &[]);
    assert_eq!(said.end.unwrap().exit_code, Some(127));
    assert!(String::from_utf8_lossy(&said.stderr).contains("cannot run no-such-program"));
}

#[test]
fn the_program_is_killed_before_the_launcher_when_memory_runs_out() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&shell(dir.path(), "cat /proc/self/oom_score_adj"), &[]);
    assert_eq!(said.stdout, b"500\n");
}

#[test]
fn a_tar_that_is_none_is_told_as_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let end = run(&shell(dir.path(), "true"), &[b'x'; 2048]).end.unwrap();
    assert!(end.error.unwrap().contains("cannot be put into"));
}

#[test]
fn closing_the_input_ends_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let Launcher { mut child, input } = start(&shell(dir.path(), "sleep 60"), &[]);
    drop(input);
    let before = Instant::now();
    let said = listen(&mut child);
    assert!(said.end.is_none());
    assert!(before.elapsed() < Duration::from_secs(10));
    child.wait().unwrap();
}

#[test]
fn the_deadline_holds_while_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "yes & echo $! >pid; wait");
    spec.deadline_ms = 500;
    spec.output_bytes = u64::MAX;
    let mut launcher = start(&spec, &[]);
    launcher.child.wait().unwrap();
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn a_link_is_made_where_its_target_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "readlink here; test ! -L there && echo none");
    spec.links = vec![
        Link { path: dir.path().join("here"), target: "/usr".into() },
        Link { path: dir.path().join("there"), target: "/no/such/place".into() },
    ];
    assert_eq!(run(&spec, &[]).stdout, b"/usr\nnone\n");
}

#[test]
fn what_is_filled_beyond_its_limit_ends_the_program() {
    let (dir, env) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let script = format!("head -c 3000000 /dev/zero >{}/a; sleep 30", env.path().display());
    let mut spec = shell(dir.path(), &script);
    spec.fill = Some(Fill { path: env.path().to_owned(), limit_bytes: 1_000_000 });
    let end = run(&spec, &[]).end.unwrap();
    assert!(end.disk_full);
    assert!(end.filled_bytes.unwrap() > 1_000_000);
}
