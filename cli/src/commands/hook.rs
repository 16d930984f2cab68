//! `gitfaas hook`: a hook that makes any bare git repository a forge.

use std::process::ExitCode;

use crate::{exit::CommandResult, out::Stdout};

pub(super) fn hook() -> CommandResult {
    Stdout::new().untrusted(hooks::POST_RECEIVE.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
