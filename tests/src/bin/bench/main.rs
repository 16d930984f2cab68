//! `bench webhooks` and `bench runs`: how fast the service is, always beside something everybody knows
//! in the same run, because only ratios taken side by side mean anything on a shared machine.
//!
//! It starts a service of its own (see `scripts/bench`, which builds it for release).

mod figures;
mod runs;
mod webhooks;

use std::process::ExitCode;

const USAGE: &str = "usage: bench webhooks | runs";

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("webhooks") => webhooks::measure().await,
        Some("runs") => runs::measure().await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A line of the report.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
