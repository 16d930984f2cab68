//! The command line of registered repositories.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

use super::{CallSettingsArgs, JsonArgs, ViewersArgs};

/// What `gitfaas repo set` changes; with none of them it would have nothing to do.
const CHANGES: [&str; 21] = [
    "name",
    "function",
    "branches",
    "paths",
    "events",
    "forks",
    "links",
    "label",
    "skip_ci",
    "pull_requests",
    "api_url",
    "token_file",
    "token_stdin",
    "webhook",
    "no_webhook",
    "access",
    "enabled",
    "disabled",
    "signing_secret_file",
    "signing_secret_stdin",
    "remove_signing_secrets",
];

#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Register a repository; prints its id, its webhook's URL and its secret (once)
    #[command(after_help = "\
With a token that may, the webhook is made at the forge. Otherwise enter URL and secret there, content type
application/json, event push. A token that the forge takes neither for the webhook nor for statuses
registers nothing, unless --force is given.

Examples:
  gitfaas repo add https://example.com/you/function.git
  gitfaas repo add https://example.com/you/function.git --token-stdin < token.txt
  gitfaas repo add https://example.com/you/function.git --branch main --branch 'release/*'")]
    Add(RepoAddArgs),
    /// Show one repository: its settings, whether its statuses are posted, and what is wrong
    #[command(after_help = "\
Example:
  gitfaas repo show 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10")]
    Show(RepoShowArgs),
    /// Change a repository; what is not given stays as it is
    #[command(
        override_usage = "gitfaas repo set [OPTIONS] <ID>",
        after_help = "\
A list that is given replaces the old one; `--branch '**'` is all branches. With a new token, a webhook
that could not be made before is made.

Examples:
  gitfaas repo set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 --token-stdin < token.txt
  gitfaas repo set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 --event push --event pull_request
  gitfaas repo set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 --access signed --signing-secret-stdin < secret.txt
  gitfaas repo set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 --disabled"
    )]
    Set(RepoSetArgs),
    /// List the repositories that you see, whether their statuses are posted, and what is wrong
    List(JsonArgs),
    /// Say who sees a repository's jobs besides its owner
    #[command(after_help = "\
Example:
  gitfaas repo viewers 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 you@example.com them@example.com")]
    Viewers(ViewersArgs),
    /// Remove a repository; its jobs stay, those that are not over are cancelled
    Remove {
        /// The repository's id or its function's name, from `gitfaas repo list`
        id: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RepoAddArgs {
    /// The clone URL; without a scheme it means https
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// What speaks at that host: github, gitea, gitlab or plain; guessed from the URL otherwise
    #[arg(long, value_name = "KIND")]
    pub(crate) forge: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Box<RepoSettings>,
    #[command(flatten)]
    pub(crate) token: ForgeToken,
    /// Register even if the forge does not take the token
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave the webhook at the forge to you; with a token it is made there otherwise
    #[arg(long)]
    pub(crate) no_webhook: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RepoShowArgs {
    /// The repository's id or its function's name, from `gitfaas repo list`
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args(CHANGES))]
pub(crate) struct RepoSetArgs {
    /// The repository's id or its function's name, from `gitfaas repo list`
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) settings: Box<RepoSettings>,
    #[command(flatten)]
    pub(crate) token: ForgeToken,
    /// Make the webhook at the forge
    #[arg(long)]
    pub(crate) webhook: bool,
    /// Remove the webhook at the forge that was made for it
    #[arg(long, conflicts_with = "webhook")]
    pub(crate) no_webhook: bool,
    /// The id of a signing secret to take away, from `gitfaas repo show`
    #[arg(long = "remove-signing-secret", value_name = "ID")]
    pub(crate) remove_signing_secrets: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

// A doc comment here would replace the help of the commands that these are part of. Boxed where they
// are used, because every other command is far smaller.
#[derive(Debug, ClapArgs)]
pub(crate) struct RepoSettings {
    /// What to call it in lists
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The name that its function is called by; made from the URL otherwise
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Only pushes to branches that match this glob; may be given several times, `!` excludes
    #[arg(long = "branch", value_name = "GLOB")]
    pub(crate) branches: Vec<String>,
    /// Only pushes that touch a path that matches; may be given several times, `!` excludes
    #[arg(long = "path", value_name = "GLOB")]
    pub(crate) paths: Vec<String>,
    /// What makes jobs: `push`, `tag` or `pull_request`; may be given several times; push and tag otherwise
    #[arg(long = "event", value_name = "EVENT", value_parser = ["push", "tag", "pull_request"])]
    pub(crate) events: Vec<String>,
    /// Pull requests from forks: approve (held until you do), run or never; no secrets in any case
    #[arg(long, value_name = "RULE", value_parser = ["approve", "run", "never"])]
    pub(crate) forks: Option<String>,
    /// Who may follow a status's link: key (whoever has the link) or login (who is signed in)
    #[arg(long, value_name = "RULE", value_parser = ["key", "login"])]
    pub(crate) links: Option<String>,
    /// Only workers with this label may take its jobs
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// A push whose commit says `[skip ci]`: status (posts that it was skipped) or silent (posts nothing)
    #[arg(long, value_name = "RULE", value_parser = ["status", "silent"])]
    pub(crate) skip_ci: Option<String>,
    /// Pull requests within the repository: run, or reuse the job of their push where both would be the same
    #[arg(long, value_name = "RULE", value_parser = ["run", "reuse"])]
    pub(crate) pull_requests: Option<String>,
    /// Where the forge's API is, on the clone URL's own host; found out otherwise
    #[arg(long, value_name = "URL")]
    pub(crate) api_url: Option<String>,
    #[command(flatten)]
    pub(crate) calls: CallSettingsArgs,
}

// The token is never an argument: other users of this machine see the arguments of programs.
#[derive(Debug, ClapArgs)]
pub(crate) struct ForgeToken {
    /// A file with the forge's access token, to clone with and to post statuses with
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Read the forge's access token from standard input
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) token_stdin: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use test_case::test_case;

    use super::super::Args;

    #[test_case(&[] => false ; "nothing to change")]
    #[test_case(&["--json"] => false ; "how it is shown is no change")]
    #[test_case(&["--webhook", "--no-webhook"] => false)]
    #[test_case(&["--skip-ci", "loud"] => false)]
    #[test_case(&["--skip-ci", "silent"] => true)]
    #[test_case(&["--access", "everybody"] => false)]
    #[test_case(&["--access", "signed"] => true)]
    #[test_case(&["--disabled"] => true)]
    #[test_case(&["--enabled", "--disabled"] => false)]
    #[test_case(&["--remove-signing-secret", "ab12cd34"] => true)]
    #[test_case(&["--signing-secret-stdin", "--token-stdin"] => false ; "one input for two secrets")]
    #[test_case(&["--token-stdin"] => true)]
    #[test_case(&["--branch", "main", "--no-webhook"] => true)]
    fn is_a_change(given: &[&str]) -> bool {
        Args::try_parse_from([&["gitfaas", "repo", "set", "0198c9f4"], given].concat()).is_ok()
    }
}
