//! The command line of secrets and of the audit log.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::JsonArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Store a secret of a repository; the value is read from standard input
    #[command(after_help = "\
One newline at the end of the value is left out. Functions that name it in their manifest get it as a
variable of that name; a pull request from a fork never does.

Examples:
  gitfaas secret set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 DEPLOY_KEY < key.pem
  pass show api | gitfaas secret set 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 API_KEY --event push")]
    Set(SecretSetArgs),
    /// List the secrets of a repository: names and events, never values
    List(SecretListArgs),
    /// Remove a secret of a repository
    Remove {
        /// The repository's id or its function's name, from `gitfaas repo list`
        repo: String,
        /// The secret's name
        name: String,
    },
    /// Change the master key: seal everything anew (operator: talks to NATS directly)
    #[command(after_help = "\
1. gitfaas secret rekey --new-key-file new.key    makes the new key
2. give it to every gateway as GITFAAS_NEXT_MASTER_KEY_FILE and start them again, one by one
3. gitfaas secret rekey --new-key-file new.key    seals everything anew; may be broken off and run again
4. start every gateway with the new key as its master key, one by one
5. the third step once more; when nothing was left, the old key is needed no more")]
    Rekey(RekeyArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SecretSetArgs {
    /// The repository's id or its function's name, from `gitfaas repo list`
    pub(crate) repo: String,
    /// A name that a variable can have
    pub(crate) name: String,
    /// What it may be given to; may be given several times. Without it, what it had, else push, tag
    /// and call
    #[arg(long = "event", value_name = "EVENT", value_parser = ["push", "tag", "pull_request", "call"])]
    pub(crate) events: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SecretListArgs {
    /// The repository's id or its function's name, from `gitfaas repo list`
    pub(crate) repo: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RekeyArgs {
    /// The file of the new master key; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ViewersArgs {
    /// The repository's id or its function's name, from `gitfaas repo list`
    pub(crate) repo: String,
    /// Who sees its jobs, logs and results from now on: addresses or ids of users
    #[arg(value_name = "EMAIL|ID", required_unless_present = "none")]
    pub(crate) viewers: Vec<String>,
    /// Nobody but its owner
    #[arg(long, conflicts_with = "viewers")]
    pub(crate) none: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AuditArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Only what admins and operators did, or only what users did
    #[arg(long, value_parser = ["admins", "users"])]
    pub(crate) log: Option<String>,
    /// Only this action, such as repo_added
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only what this user did: an address or an id
    #[arg(long, value_name = "EMAIL|ID")]
    pub(crate) user: Option<String>,
    /// Only what was done to this, or to what begins with it
    #[arg(long, value_name = "ID")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
