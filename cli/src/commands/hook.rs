//! `gitfaas hook`: a hook that makes any bare git repository a forge.

use std::process::ExitCode;

use crate::{exit::Done, out::Out};

pub(super) fn hook() -> Done {
    Out::new().untrusted(hooks::POST_RECEIVE.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
