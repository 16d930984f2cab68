//! The command line of aliases.

use clap::{Args as ClapArgs, Subcommand};

use super::JsonArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Make an alias of a version of a function, or move it
    #[command(after_help = "\
Only to what is built: a commit whose push ended well. A tag or branch is looked up once; with --follow
the alias stands for the newest green commit of the branch, whichever that is. The alias `live` is what
a call runs that names no version.

Examples:
  gitfaas alias set pi live v1.2
  gitfaas alias set pi next --follow main")]
    Set(AliasSetArgs),
    /// List the aliases of a function, or the moves of one of them
    List(AliasListArgs),
    /// Move an alias back to what it stood for before; twice goes back two moves
    Rollback {
        /// The function's name, or its repository's id
        function: String,
        /// The alias
        alias: String,
    },
    /// Remove an alias, and the record of its moves
    Rm {
        /// The function's name, or its repository's id
        function: String,
        /// The alias
        alias: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AliasSetArgs {
    /// The function's name, or its repository's id
    pub(crate) function: String,
    /// The alias: lower-case letters, digits and hyphens
    pub(crate) alias: String,
    /// A full commit id, a tag or a branch
    #[arg(id = "commit", value_name = "COMMIT|TAG|BRANCH", required_unless_present = "follow")]
    pub(crate) version: Option<String>,
    /// The newest green commit of this branch, whichever that is
    #[arg(long, value_name = "BRANCH", conflicts_with = "commit")]
    pub(crate) follow: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AliasListArgs {
    /// The function's name, or its repository's id
    pub(crate) function: String,
    /// Show the moves of this alias
    pub(crate) alias: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use test_case::test_case;

    use crate::args::Args;

    #[test_case(&["pi", "live", "v1.2"] => true)]
    #[test_case(&["pi", "next", "--follow", "main"] => true)]
    #[test_case(&["pi", "next"] => false ; "neither")]
    #[test_case(&["pi", "next", "v1.2", "--follow", "main"] => false ; "both")]
    fn a_version_or_a_branch_to_follow(given: &[&str]) -> bool {
        Args::try_parse_from([&["gitfaas", "alias", "set"], given].concat()).is_ok()
    }
}
