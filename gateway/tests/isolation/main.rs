//! What a function, its callers and its answers cannot do to anybody else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod browser;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
