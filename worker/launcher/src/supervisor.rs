//! Supervises one program: reads its spec, runs it, forwards its output, ends everything, reports the end.
//!
//! Rules that hold because of this file: nothing of the program is alive when the end is told;
//! everything it wrote by then was sent before; the deadline holds even when nobody reads what
//! is sent, because the thread that keeps it never writes before the others are done.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use launcher::{End, Fill, Frame, MAX_PAYLOAD_BYTES, ProgramSpec};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use crate::{cgroup, prepared_dir, program_input, unpack};

/// How often the size of what is filled is taken.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// How long after the deadline somebody may still read what is left in the pipes. Less than the
/// 5 s that the worker waits beyond the deadline.
const DRAIN: Duration = Duration::from_secs(3);

/// Where a program's temporary files are, and its input.
const TMP: &str = "/tmp";

/// Between two attempts to kill what is left.
const KILL_AGAIN: Duration = Duration::from_millis(2);

/// What can end the program's time.
enum Event {
    Ended(WaitStatus),
    InputClosed,
    OutputExceeded,
    Filled,
}

/// Where frames go, one whole frame at a time.
type Output = Arc<Mutex<File>>;

/// Waits for a program and runs it. The exit code says only whether the end was reported.
pub(crate) fn supervise() -> ExitCode {
    // The program has our uid: it must not read our memory or borrow our output.
    let _ = prctl::set_dumpable(false);
    let _ = prctl::set_child_subreaper(true);
    match session() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gitfaas: launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn session() -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = Arc::new(Mutex::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)));
    send(&output, &Frame::Ready)?;
    let Some(spec) = launcher::read_spec(&mut input)? else {
        return Ok(());
    };
    let length = launcher::read_length(&mut input)?;
    let unpacked = unpack::unpack(&mut input, length, &spec.cwd).and_then(|()| {
        unpack::link(&spec.links).map_err(|error| unpack::NotUnpacked {
            sentence: format!("a link cannot be made: {error}"),
            disk_full: cgroup::is_full(&spec.cwd),
        })
    });
    let received = unpacked.and_then(|()| {
        let length = launcher::read_length(&mut input).map_err(unpack::NotUnpacked::broken_off)?;
        program_input::receive(&mut input, length, Path::new(TMP))
    });
    let end = match received {
        Ok(stdin) => run(&spec, stdin, input, &output)?,
        Err(unpack::NotUnpacked { sentence, disk_full }) => {
            Some(End { error: Some(sentence), disk_full, ..End::default() })
        }
    };
    match end {
        Some(end) => send(&output, &Frame::End(end)),
        None => Ok(()),
    }
}

/// Runs the program to whatever end; `None` if nobody is there any more to be told.
fn run(spec: &ProgramSpec, stdin: Stdio, input: File, output: &Output) -> io::Result<Option<End>> {
    let (stdout, stdout_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    let (events, happened) = mpsc::channel();
    let (draining, drained) = mpsc::channel::<()>();
    let left = Arc::new(AtomicU64::new(spec.output_bytes));
    // Every thread is there before the program is: it may leave no room for another one.
    forward(stdout, Frame::Stdout, output, &left, &events, &draining);
    forward(stderr, Frame::Stderr, output, &left, &events, &draining);
    drop(draining);
    watch_input(input, events.clone());
    if let Some(fill) = spec.fill.clone() {
        measure(fill, events.clone());
    }
    let (started, gone) = reap(events);
    send(output, &Frame::Started)?;

    let deadline = Instant::now() + Duration::from_millis(spec.deadline_ms);
    let spawned = Command::new(std::env::current_exe()?)
        .args(["exec", "--"])
        .args(&spec.argv)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.cwd)
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout_end)
        .stderr(stderr_end)
        .spawn();
    // The command held our copies of the write ends until here.
    let program = match spawned {
        Ok(child) => Pid::from_raw(child.id() as i32),
        Err(error) => {
            let error = Some(format!("the program cannot be started: {error}"));
            return Ok(Some(End { error, ..End::default() }));
        }
    };
    let _ = started.send(program);

    let mut end = End::default();
    match happened.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok() {
        Some(Event::Ended(status)) => set_exit(&mut end, status),
        Some(Event::InputClosed) => {
            end_everything(program, &gone);
            return Ok(None);
        }
        Some(Event::OutputExceeded) => end.output_exceeded = true,
        Some(Event::Filled) => end.disk_full = true,
        None => end.timed_out = true,
    }
    end_everything(program, &gone);
    // Writers are gone, so this is over as soon as somebody has read what the pipes held.
    let until = deadline.max(Instant::now()) + DRAIN;
    let left_over = drained.recv_timeout(until.saturating_duration_since(Instant::now()));
    if left_over == Err(RecvTimeoutError::Timeout) {
        // A half-sent frame holds the output, so an end could not be told either.
        return Ok(None);
    }
    while let Ok(event) = happened.try_recv() {
        match event {
            Event::Ended(status) => set_exit(&mut end, status),
            Event::InputClosed => return Ok(None),
            Event::OutputExceeded => end.output_exceeded = true,
            Event::Filled => end.disk_full = true,
        }
    }
    settle(&mut end, spec);
    Ok(Some(end))
}

/// Completes the end with what was counted.
fn settle(end: &mut End, spec: &ProgramSpec) {
    end.oom_kills = cgroup::oom_kills();
    end.processes_refused = cgroup::processes_refused();
    end.peak_memory_bytes = cgroup::peak_memory_bytes();
    end.disk_full |= cgroup::is_full(&spec.cwd) || cgroup::is_full(Path::new(TMP));
    if let Some(fill) = &spec.fill {
        let bytes = prepared_dir::size_bytes(&fill.path);
        end.filled_bytes = Some(bytes);
        end.disk_full |= bytes > fill.limit_bytes;
        if end.exit_code == Some(0)
            && let Err(error) = prepared_dir::open_to_all(&fill.path)
        {
            end.error = Some(format!("what was prepared cannot be made readable: {error}"));
        }
    }
}

fn set_exit(end: &mut End, status: WaitStatus) {
    match status {
        WaitStatus::Exited(_, code) => end.exit_code = Some(code),
        WaitStatus::Signaled(_, signal, _) => end.signal = Some(signal as i32),
        _ => {}
    }
}

/// Sends what comes out of one pipe, until nobody holds its other end.
fn forward(
    mut pipe: io::PipeReader,
    frame: fn(Vec<u8>) -> Frame,
    output: &Output,
    left: &Arc<AtomicU64>,
    events: &Sender<Event>,
    draining: &Sender<()>,
) {
    let (output, left) = (output.clone(), left.clone());
    let (events, draining) = (events.clone(), draining.clone());
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
        let mut told = false;
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let allowed = take(&left, count as u64) as usize;
            if allowed > 0 && send(&output, &frame(buffer[..allowed].to_vec())).is_err() {
                break;
            }
            if allowed < count && !told {
                told = events.send(Event::OutputExceeded).is_ok();
            }
        }
        drop(draining);
    });
}

/// Takes up to `wanted` bytes from what may still be sent.
fn take(left: &AtomicU64, wanted: u64) -> u64 {
    let before =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(wanted)));
    wanted.min(before.unwrap_or_else(|left| left))
}

/// Nothing more is ever said on the input; that it closes is what it says.
fn watch_input(mut input: File, events: Sender<Event>) {
    thread::spawn(move || {
        let mut ignored = [0; 512];
        while let Ok(1..) = input.read(&mut ignored) {}
        let _ = events.send(Event::InputClosed);
    });
}

/// Looks at the size of what is filled.
fn measure(fill: Fill, events: Sender<Event>) {
    thread::spawn(move || {
        while prepared_dir::size_bytes(&fill.path) <= fill.limit_bytes {
            thread::sleep(MEASURE_EVERY);
        }
        let _ = events.send(Event::Filled);
    });
}

/// Collects every dead process of the container, once it is told which one is the program; the
/// receiver hangs up when none is left.
fn reap(events: Sender<Event>) -> (Sender<Pid>, Receiver<()>) {
    let (started, is_started) = mpsc::channel();
    let (alive, gone) = mpsc::channel::<()>();
    thread::spawn(move || {
        let Ok(program) = is_started.recv() else {
            return;
        };
        loop {
            match waitpid(None, None) {
                Ok(status) if status.pid() == Some(program) => {
                    let _ = events.send(Event::Ended(status));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        drop(alive);
    });
    (started, gone)
}

/// Kills all there is until nothing is left.
fn end_everything(program: Pid, gone: &Receiver<()>) {
    loop {
        // Only process 1 of a container may mean everybody; in a test that would be the machine.
        let _ = if getpid().as_raw() == 1 {
            kill(Pid::from_raw(-1), Signal::SIGKILL)
        } else {
            killpg(program, Signal::SIGKILL)
        };
        match gone.recv_timeout(KILL_AGAIN) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn send(output: &Output, frame: &Frame) -> io::Result<()> {
    let bytes = frame.encode();
    output.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
}
