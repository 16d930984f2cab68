//! The real `git`, isolated from the settings of the user who runs the tests.

use std::{ffi::OsStr, path::Path, process::Output};

use tokio::process::Command;

/// A command in `folder`.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).kill_on_drop(true);
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
    }
    command
}

/// Runs git, which must succeed.
pub(crate) async fn git(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let output = command(folder).args(arguments).output().await.expect("git can be started");
    let shown: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(
        output.status.success(),
        "git {shown:?} in {}: {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs git and returns the line it prints.
pub(crate) async fn git_line(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments).await;
    String::from_utf8(output.stdout).expect("git prints text here").trim().to_owned()
}
