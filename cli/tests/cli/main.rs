//! Tests of the real binary as a process.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod client;
mod command_line;
mod common;
mod login;
mod run_http;
#[path = "../../src/samples.rs"]
mod samples;
mod secret;
mod token;
mod up;
mod user;
