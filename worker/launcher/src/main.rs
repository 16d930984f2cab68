//! Process 1 of a container: runs one program as its worker specifies, and reports how it ended.
//!
//! `launcher wait` waits for a program on its input. `launcher relay SOCKET` is what a slot's pause
//! container runs. `launcher exec -- ARGV…` is how `wait` starts the program: a step of its own, so
//! that the program has its place in the kernel's order of whom to kill before it exists.

mod cgroup;
mod exec;
mod prepared_dir;
mod program_input;
mod relay;

mod supervisor;
mod unpack;

use std::process::ExitCode;

/// The command line is not one of ours.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = args.iter().map(|word| word.to_str()).collect();
    match words.as_slice() {
        [Some("wait")] => supervisor::supervise(),
        [Some("relay"), Some(socket)] => relay::serve(socket.as_ref()),
        [Some("exec"), Some("--"), _, ..] => exec::exec(&args[2..]),
        _ => {
            eprintln!("usage: launcher wait | launcher relay SOCKET | launcher exec -- ARGV...");
            ExitCode::from(EX_USAGE)
        }
    }
}
