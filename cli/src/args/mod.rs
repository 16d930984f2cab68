//! The command line: commands, options and their help.

#![expect(clippy::doc_markdown, reason = "these are help texts, which a terminal shows as they are")]

mod access;
mod alias;
mod call;
mod call_settings;
mod delivery;
mod repo;
mod token;
mod usage;
mod user;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use jobs::JobId;

use crate::local_http::loopback;

pub(crate) use access::{AuditArgs, RekeyArgs, SecretCommand, SecretListArgs, SecretSetArgs, ViewersArgs};
pub(crate) use alias::{AliasCommand, AliasListArgs, AliasSetArgs};
pub(crate) use call::CallArgs;
pub(crate) use call_settings::CallSettingsArgs;
pub(crate) use delivery::{ApproveArgs, DeliveriesArgs, ReplayArgs};
pub(crate) use repo::{ForgeToken, RepoAddArgs, RepoCommand, RepoSetArgs, RepoSettings, RepoShowArgs};
pub(crate) use token::{TokenArgs, TokenCommand, TokenNewArgs, TokenRights};
pub(crate) use usage::UsageArgs;
pub(crate) use user::{AsCommand, Limit, UserCommand, UserSetArgs, UserShowArgs};

const ABOUT: &str = "Functions as a service, straight from git";

const LONG_ABOUT: &str = "\
Functions as a service, straight from git.

Push a commit to a registered repository, and its function is built and run in a throwaway
container. The result is a check beside the commit, a page with the live log, and a value that a
program can fetch. The same job can be submitted from here.";

const AFTER: &str = "\
First steps, with Docker running:
  gitfaas run runner-images/python/hello            one job here and now, nothing else needed
  gitfaas up                                        the whole service on this machine
  export GITFAAS_TOKEN=$(gitfaas token create --user you@example.com --admin)
  gitfaas submit https://example.com/you/function.git --wait

Settings are environment variables; `gitfaas config` lists them all.

Exit codes: 0 done; 1 it failed, the reason is on stderr; 2 the command line is wrong;
64 the configuration is wrong, every wrong variable is named. `run` and `submit --wait` exit with
the function's own exit code.";

/// Where `run --http` waits for requests: beside a gateway of this machine.
const LISTEN: &str = "127.0.0.1:8080";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "gitfaas", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER)]
#[command(propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the whole service in one process: gateway, one worker, observer, and NATS if need be
    #[command(after_help = "\
Without GITFAAS_NATS_URL it starts a NATS of its own: the nats-server in PATH (2.10 or newer), or else
a container. When everything is ready it prints `ready http://…` on standard output.

Example:
  GITFAAS_LISTEN=127.0.0.1:3000 gitfaas up")]
    Up,
    /// Start a gateway: the REST API, webhooks and pages
    Gateway,
    /// Start a worker: fetches commits and runs them in containers
    Worker,
    /// Start an observer: statistics and /metrics
    Observer,
    /// Run one job locally, without a service: only Docker is needed
    #[command(after_help = "\
A folder is taken as it is, without .git and what git ignores. The log goes to stderr, the result to
standard output, and the exit code is the function's own.

With --http it waits for HTTP requests and runs the folder for each of them, read anew, as a gateway does:
the body is standard input, variables tell the rest, standard output is the answer. Ctrl-C ends it.

It is a call: it runs also where the manifest has \"onPush\": \"build\", and its `branches` and
`paths` do not count.

Examples:
  gitfaas run .
  gitfaas run https://example.com/you/function.git@main -- 100
  gitfaas run . --input request.json
  gitfaas run . --http
  gitfaas run --json runner-images/python/hello")]
    Run(RunArgs),
    /// Sign in at the gateway of GITFAAS_URL: shows an address and a code, and waits for your approval there
    #[command(after_help = "\
What it gets is kept in the user's configuration, readable for its owner only, and renews itself; the
other commands use it where GITFAAS_TOKEN is not set.

Example:
  GITFAAS_URL=https://faas.example.com gitfaas login")]
    Login,
    /// End the sign-in at the gateway of GITFAAS_URL, here and there
    Logout,
    /// Show who you are at the gateway
    Whoami(JsonArgs),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show what a user may use, and change it (operator)
    #[command(subcommand)]
    User(UserCommand),
    /// The same commands, said in another way
    #[command(subcommand, hide = true)]
    As(AsCommand),
    /// Register repositories whose pushes are run
    #[command(subcommand)]
    Repo(RepoCommand),
    /// List the functions that you may call
    Functions(JsonArgs),
    /// Name versions of a function, and move the names
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Manage secrets that functions get and nobody is shown
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Show the audit log, newest first (admins)
    #[command(after_help = "Example:\n  gitfaas audit --limit 20")]
    Audit(AuditArgs),
    /// List deliveries of forges, and their outcome; kept for 30 days
    #[command(after_help = "\
A push whose delivery never came is listed as made up for. What is held waits for `gitfaas approve`.
Below the list stand the last ones that were rejected because of their signature.

Example:
  gitfaas deliveries --repo 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10 --limit 10")]
    Deliveries(DeliveriesArgs),
    /// Process a delivery again; it makes a new job, also if it made one before
    Replay(ReplayArgs),
    /// Let a held delivery run: a pull request from a fork, at the commit that is shown
    #[command(after_help = "\
Shows the commit, asks on a terminal, and approves exactly that one; a newer commit needs another
approval. `gitfaas deliveries` shows what is held.

Examples:
  gitfaas approve --pull 12
  gitfaas approve f382f1de
  gitfaas approve f382f1de --sha 1f1ee58e3067678d3752dd5f6f3abb936325fbb8 --yes")]
    Approve(ApproveArgs),
    /// Call a function by its name, and print its answer
    #[command(after_help = "\
Without a version the newest green commit of the default branch answers. An answer that is an error makes exit
code 1, and the sentence goes to stderr.

Examples:
  gitfaas call pi
  gitfaas call pi@v1.2 --data '{\"n\": 100}' --header 'content-type: application/json'
  gitfaas call 'resize/thumbnail?width=64' --data @photo.jpg > small.jpg
  gitfaas call report --async")]
    Call(CallArgs),
    /// Submit a job
    #[command(after_help = "\
With --wait the live log goes to stderr and the result to standard output; the exit code is the
function's own, or 1 if the job failed in another way.

Examples:
  gitfaas submit https://example.com/you/function.git
  gitfaas submit https://example.com/you/function.git@v1.2 --arg 100 --wait
  echo 100 | gitfaas submit https://example.com/you/function.git --input - --wait")]
    Submit(SubmitArgs),
    /// Show the log of a job
    #[command(after_help = "Example:\n  gitfaas logs -f 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10")]
    Logs(LogsArgs),
    /// Show one job: its state, how it went, how long each part took, and whether its status is posted
    Status(JobArgs),
    /// Print the result of a job, exact to the byte
    Result(ResultArgs),
    /// List your jobs, newest first
    #[command(after_help = "Example:\n  gitfaas list --state error --limit 10")]
    List(ListArgs),
    /// Cancel a job
    Cancel(JobArgs),
    /// Run a job's commit once more, as a new job
    Rerun(JobArgs),
    /// Remove a job that is over: its record, log, result and input
    Delete {
        /// The job's id
        id: JobId,
    },
    /// Show your usage of each limit, and what frees it
    Usage(UsageArgs),
    /// Check this machine: NATS, Docker, limits that really hold, images, secrets, clock, disk
    #[command(after_help = "One line per check. Exit code 1 if any of them fails.")]
    Doctor(DoctorArgs),
    /// List every setting: its variable, default and meaning, and whether it is set
    Config(JsonArgs),
    /// Print a post-receive hook that makes any bare git repository a forge
    #[command(after_help = "\
Example:
  gitfaas hook > repository.git/hooks/post-receive && chmod +x repository.git/hooks/post-receive")]
    Hook,
}

impl Command {
    /// Whether this is a long-running service.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Up | Self::Gateway | Self::Worker | Self::Observer)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// A folder, or a clone URL, with @ and a branch, tag or commit after it if need be
    #[arg(value_name = "DIR|URL[@REF]")]
    pub(crate) source: String,
    /// What the function reads from standard input: a file, or - for this command's own
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Run it for each HTTP request; prints `ready http://…` on standard output
    #[arg(long, conflicts_with_all = ["input", "json", "args"])]
    pub(crate) http: bool,
    /// Where --http waits for requests, an address of this machine alone
    #[arg(long, value_name = "ADDRESS", requires = "http", default_value = LISTEN, value_parser = loopback)]
    pub(crate) listen: SocketAddr,
    /// Print the job's record as JSON instead of its result
    #[arg(long)]
    pub(crate) json: bool,
    /// Arguments of the function; they replace `arg` of its manifest
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SubmitArgs {
    /// A clone URL, or a registered repository's id or function, with @ and a branch, tag or commit if need be
    #[arg(value_name = "URL[@REF]")]
    pub(crate) source: String,
    /// A name for the job, shown in lists
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// An argument of the function; may be given several times; they replace `arg` of the manifest
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
    /// What the function reads from standard input: a file of 128 KiB at most, or - for this command's own
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Only workers with this label may take it
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// Wait for the end: live log on stderr, result on standard output
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LogsArgs {
    /// The job's id
    pub(crate) id: JobId,
    /// Follow the log until the job is over
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JobArgs {
    /// The job's id
    pub(crate) id: JobId,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ResultArgs {
    /// The job's id
    pub(crate) id: JobId,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// Only jobs in this state: pending, working, finish or error
    #[arg(long, value_parser = ["pending", "working", "finish", "error"])]
    pub(crate) state: Option<String>,
    /// Only jobs of this registered repository: its id or its function's name
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Clone, Copy, ClapArgs)]
pub(crate) struct JsonArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Splits `URL@REF`. An `@` before the host belongs to the URL, as in `git@example.com:you/r.git`.
pub(crate) fn split_ref(source: &str) -> (&str, Option<&str>) {
    let host_from = source.find("://").map_or(0, |at| at + 3);
    let path_from = match source[host_from..].find(['/', ':']) {
        Some(at) => host_from + at,
        // An id or the name of a function.
        None if host_from == 0 => 0,
        None => source.len(),
    };
    match source[path_from..].rfind('@') {
        Some(at) if path_from + at + 1 < source.len() => {
            (&source[..path_from + at], Some(&source[path_from + at + 1..]))
        }
        Some(_) | None => (source, None),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use test_case::test_case;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Args::command().debug_assert();
    }

    #[test_case("https://example.com/r.git" => ("https://example.com/r.git", None))]
    #[test_case("https://example.com/r.git@main" => ("https://example.com/r.git", Some("main")))]
    #[test_case("https://me@example.com/r.git" => ("https://me@example.com/r.git", None) ; "a user in the URL")]
    #[test_case("https://example.com/r.git@refs/heads/a/b" => ("https://example.com/r.git", Some("refs/heads/a/b")))]
    #[test_case("git@example.com:you/r.git" => ("git@example.com:you/r.git", None) ; "like scp")]
    #[test_case("example.com/r.git@v1" => ("example.com/r.git", Some("v1")) ; "without a scheme")]
    #[test_case("pi@v1" => ("pi", Some("v1")) ; "a function")]
    #[test_case("https://me@example.com" => ("https://me@example.com", None) ; "a user and no path")]
    #[test_case("https://example.com/r.git@" => ("https://example.com/r.git@", None) ; "no ref after it")]
    fn url_and_ref(source: &str) -> (&str, Option<&str>) {
        split_ref(source)
    }
}
