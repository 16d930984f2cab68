//! `bench webhooks` and `bench runs`: how fast the service is, always beside something everybody knows
//! in the same run, because only ratios taken side by side mean anything on a shared machine.
//!
//! It starts a service of its own (see `scripts/bench`, which builds it for release).

mod calls;
mod idle;
mod measurements;
mod runs;
mod webhooks;

use std::process::ExitCode;

const USAGE: &str =
    "usage: bench webhooks | runs [pushes and calls after 0 s [after 7 s [pushes after 40 s]]]";

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let what = words.next();
    match (what.as_deref(), idle::counts(words)) {
        (Some("webhooks"), Some(_)) => webhooks::measure().await,
        (Some("runs"), Some(counts)) => {
            runs::measure().await;
            idle::measure(counts).await;
        }
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
