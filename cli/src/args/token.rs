//! The command line of API tokens.

use clap::{Args as ClapArgs, Subcommand};
use jobs::TokenId;

use super::JsonArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an API token for a user (operator: talks to NATS directly); it alone is printed, once
    #[command(after_help = "\
The user is made if there is none with that address. Whoever has a token, or is signed in with
`gitfaas login`, makes further ones with `gitfaas token new`.

Examples:
  export GITFAAS_TOKEN=$(gitfaas token create --user you@example.com --admin --expires 90d)
  gitfaas token create --user you@example.com --scope invoke \\
      --function 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10")]
    Create(TokenArgs),
    /// Make a further API token of your own; it alone is printed on standard output, and never again
    #[command(after_help = "\
It may do no more than what it is made with: GITFAAS_TOKEN, or your sign-in with `gitfaas login`. Made
with GITFAAS_TOKEN, it also ends with that token, when it expires or is revoked.

Scopes: jobs:read (jobs, results, logs), jobs:write (submit, cancel, rerun, and call functions), repos
(register and change repositories), admin (of use to admins alone), invoke (call functions, and nothing
else; --function narrows it to some).

Examples:
  gitfaas token new --name ci --scope jobs:read --scope jobs:write --expires-in 90d
  gitfaas token new --name shop --scope invoke --function 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
  gitfaas token new > token.txt")]
    New(TokenNewArgs),
    /// List your API tokens, newest first: what they may, when they end, when they were used last
    #[command(after_help = "\
LAST USED is exact to the hour. The tokens themselves are stored nowhere and cannot be shown again.")]
    List(JsonArgs),
    /// Revoke an API token, and with it those that were made with it: they are refused from now on
    #[command(after_help = "\
Example:
  gitfaas token revoke 01a20c67-cee4-71df-9c2a-6c034687e69b")]
    Revoke {
        /// The token's id, from `gitfaas token list`; not the token itself
        id: TokenId,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenArgs {
    /// Whose token it is
    #[arg(long, value_name = "EMAIL", value_parser = email)]
    pub(crate) user: String,
    /// Make this user an admin, who may see and do everything
    #[arg(long)]
    pub(crate) admin: bool,
    /// How long it is good for, such as 12h or 90d; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = jobs::units::duration)]
    pub(crate) expires: Option<std::time::Duration>,
    /// What to call it in lists
    #[arg(long, value_name = "NAME", default_value = "command line")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) may: TokenRights,
}

// A doc comment here would replace the help of the commands that these are part of.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenRights {
    /// What it may do; may be given several times. Without it all that there is to give, or with
    /// --function only calls
    #[arg(long = "scope", value_name = "SCOPE", value_parser = ["jobs:read", "jobs:write", "repos", "admin", "invoke"])]
    pub(crate) scopes: Vec<String>,
    /// The id of a repository whose functions it may call, and no others; may be given several times
    #[arg(long = "function", value_name = "ID")]
    pub(crate) functions: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenNewArgs {
    /// What to call it in lists
    #[arg(long, value_name = "NAME", default_value = "command line")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) may: TokenRights,
    /// How long it is good for, such as 12h or 90d; without it, as long as what it is made with, or until
    /// it is revoked
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) expires_in: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// A duration, as it was written: the gateway counts from its own clock.
fn duration(text: &str) -> Result<String, jobs::units::NotAUnit> {
    jobs::units::duration(text).map(|_| text.to_owned())
}

/// Enough to catch a forgotten value; the address is not verified.
fn email(text: &str) -> Result<String, &'static str> {
    match text.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        Some(_) | None => Err("must be an e-mail address"),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("a@b" => true)]
    #[test_case("a" => false)]
    #[test_case("@b" => false)]
    #[test_case("a b@c" => false)]
    fn is_an_email(text: &str) -> bool {
        email(text).is_ok()
    }
}
