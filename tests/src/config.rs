//! The settings of the tests from the environment: paths of programs, and what this network needs. No other
//! variable reaches the programs under test.

use std::path::{Path, PathBuf};

/// Passed on as they are: the network's needs (`scripts/test` sets them), Docker, and how much is logged.
const PASSED_ON: &[&str] = &[
    "HOME",
    "TMPDIR",
    "GITFAAS_CA_BUNDLE",
    "GITFAAS_PREPARE_ALLOW",
    "GITFAAS_DOCKER_HOST",
    "GITFAAS_RUNTIME",
    "GITFAAS_LOG",
    "RUST_BACKTRACE",
];

fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
    std::env::var(name).ok()
}

/// Whether there is time: `scripts/test --long` says so.
pub fn is_long() -> bool {
    var("GITFAAS_TEST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The environment of a program under test.
pub(crate) fn environment() -> Vec<(String, String)> {
    let mut all: Vec<_> =
        PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), var(name)?))).collect();
    all.push(("PATH".to_owned(), path()));
    all
}

/// `PATH`, with what the scripts have unpacked before it.
pub(crate) fn path() -> String {
    let unpacked = root().join(".local/bin");
    format!("{}:{}", unpacked.display(), var("PATH").unwrap_or_default())
}

/// Docker's socket.
pub(crate) fn docker_host() -> String {
    var("GITFAAS_DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// A program of the workspace, which lies beside the test's own.
pub(crate) fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process has a program");
    let path = own.ancestors().skip(1).map(|dir| dir.join(name)).find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("there is no {name} beside {}: run cargo build --workspace", own.display()))
}
