//! The one binary, `gitfaas`: parses the command line, runs the command, and maps its end to an exit code.
//!
//! Owns no logic of the service; see the packages `gateway`, `worker` and `observer` for that.

mod answer;
mod api;
mod args;
mod child;
mod commands;
mod config;
mod credentials;
mod docker;
mod events;
mod exit;
mod fields;
mod input;
mod local_http;
mod local_nats;
mod log_view;
mod logging;
mod nats;
mod out;
mod pages;
mod record;
#[cfg(test)]
mod samples;
mod serve;
mod signals;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has installed a provider before the first line of main");
    let args = args::Args::parse();
    logging::start(&args.command);
    let runtime = tokio::runtime::Runtime::new().expect("the system has threads for a runtime");
    let done = runtime.block_on(commands::run(args.command));
    // Blocking tasks (a name being resolved, a clone) must not delay the exit.
    runtime.shutdown_background();
    exit::code(done)
}
