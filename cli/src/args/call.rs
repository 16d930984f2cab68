//! The command line of `gitfaas call`.

use clap::Args as ClapArgs;

/// `gitfaas call`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CallArgs {
    /// The function, with @ and a commit, alias, tag or branch if need be, and with a path and query of its own
    #[arg(value_name = "FUNCTION[@VERSION][/PATH]")]
    pub(crate) function: String,
    /// What it reads from standard input: a text, @ and a file, or - for this command's own
    #[arg(short, long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The method: POST with --data, else GET
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Do not wait: print the address where the answer will be
    #[arg(long = "async", conflicts_with = "wait")]
    pub(crate) is_async: bool,
    /// Wait for so many seconds, 300 at most; else as long as the function's manifest says
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=300))]
    pub(crate) wait: Option<u64>,
}
