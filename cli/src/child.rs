//! Child processes. Our environment holds secrets, which they must not inherit; a test holds that no process
//! is started in another way.

use std::ffi::OsStr;
use std::process::Command;

use crate::config;

/// A program with what it needs of our environment, and nothing else.
pub(crate) fn program(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(config::child_environment());
    command
}

/// A program of the desktop, which finds its windows and its bus by the environment: with all of ours but our
/// settings.
pub(crate) fn desktop_program(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    config::variable_names().iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_where_programs_are_and_no_more_than_it_needs() {
        let output = program("env").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.contains(&"PATH"), "{said}");
        // The test runner sets these, and many more.
        assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{said}");
        assert!(names.iter().all(|name| ["PATH", "HOME", "TMPDIR", "TZ"].contains(name)), "{said}");
    }
}
