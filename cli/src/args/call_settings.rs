//! The command line of who may call a repository's function.

use std::path::PathBuf;

use clap::Args as ClapArgs;

// A secret is never an argument: other users of this machine see the arguments of programs. A doc comment on the
// struct would replace the help of the commands that it is part of.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct CallSettingsArgs {
    /// Who may call its function: token (you and its viewers), public (everybody, where the operator allows
    /// it) or signed (whoever signs with one of its signing secrets)
    #[arg(long, value_name = "RULE", value_parser = ["token", "public", "signed"])]
    pub(crate) access: Option<String>,
    /// Turn its function on again
    #[arg(long, conflicts_with = "disabled")]
    pub(crate) enabled: bool,
    /// Turn its function off at once
    #[arg(long)]
    pub(crate) disabled: bool,
    /// A file with a further secret that callers sign with, as the sender hands it out; two at most
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_secret_file: Option<PathBuf>,
    /// Read a further signing secret from standard input
    #[arg(long, conflicts_with_all = ["signing_secret_file", "token_stdin"])]
    pub(crate) signing_secret_stdin: bool,
}
