//! Becomes the program, after putting itself first in line when memory runs out.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Above the launcher's 0, so that the kernel never takes the one who has to tell about it.
const OOM_SCORE: &str = "500";

/// What a shell answers for a program that cannot be executed, and for one that is not there.
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Replaces this process by `argv`; returns only if that is not possible.
pub(crate) fn exec(argv: &[OsString]) -> ExitCode {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        eprintln!("gitfaas: cannot raise the program's oom score: {error}");
    }
    let error = Command::new(&argv[0]).args(&argv[1..]).exec();
    eprintln!("gitfaas: cannot run {}: {error}", argv[0].display());
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => CANNOT_EXECUTE,
    })
}
