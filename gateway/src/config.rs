//! The gateway's configuration. Read once at the start; every invalid variable is reported at once.
//!
//! The address of NATS is not part of it: [`crate::serve`] is given a connected client.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use hooks::address::{Allow, Deny, OwnAddresses};
use jobs::{
    Secret,
    input::{MAX_BYTES, MAX_HEAD_BYTES},
    settings::{
        GITFAAS_ADMIN_SECRET, GITFAAS_CA_BUNDLE, GITFAAS_CLONE_ALLOW, GITFAAS_EGRESS_DENY,
        GITFAAS_GITHUB_ACCOUNTS, GITFAAS_GITHUB_API_URL, GITFAAS_GITHUB_APP_ID, GITFAAS_GITHUB_APP_KEY_FILE,
        GITFAAS_GITHUB_TOKEN, GITFAAS_GITHUB_WEBHOOK_SECRET, GITFAAS_LISTEN, GITFAAS_MASTER_KEY_FILE,
        GITFAAS_MAX_INPUT, GITFAAS_MAX_INPUTS_PER_USER, GITFAAS_MAX_QUEUE_TIME, GITFAAS_NEXT_MASTER_KEY_FILE,
        GITFAAS_PUBLIC_URL, GITFAAS_SHUTDOWN_GRACE, Problems, Reader, Setting,
    },
    streams, units,
    usage::Resource,
};
use url::Url;

pub use crate::repos::settings::{App, Github};
use crate::{functions, http::rate_limit, login::settings, repos::installation::app_key, usage};

/// The configuration of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What links and redirects begin with; absent means `http://localhost:<port>`.
    pub public_url: Option<Url>,
    /// The folder of the index and the master key.
    pub data_dir: PathBuf,
    /// GitHub.
    pub github: Github,
    /// Identity providers, and which accounts may sign in.
    pub login: settings::Settings,
    /// Grants access to `/observer/stats`; without it an admin's token is needed there.
    pub admin_secret: Option<Secret>,
    /// The file of the 32 bytes from which all keys are derived; absent means `<data dir>/master.key`.
    pub master_key_file: Option<PathBuf>,
    /// The file of the next master key, while the key is being changed.
    pub next_master_key_file: Option<PathBuf>,
    /// Rate limits of users and addresses.
    pub limits: rate_limit::Settings,
    /// What the operator says of functions.
    pub functions: functions::Settings,
    /// Internal forges that may be reached besides public addresses.
    pub clone_allow: Allow,
    /// PEM file of certificate authorities that HTTP clients trust besides the public ones.
    pub ca_bundle: Option<PathBuf>,
    /// Settings of the streams.
    pub streams: streams::Settings,
    /// Budgets of every owner.
    pub owners: usage::Settings,
    /// The longest input of a job, in bytes.
    pub max_input_bytes: u64,
    /// How long a job may wait for a worker.
    pub max_queue_time: Duration,
    /// How long open requests may take once the gateway is stopping.
    pub shutdown_grace: Duration,
}

impl Config {
    /// Reads every variable through `var`, and reports all that is wrong, not just the first.
    ///
    /// # Errors
    /// Every variable that is wrong, with a reason each.
    pub fn read(var: &dyn Fn(&str) -> Option<String>, data_dir: PathBuf) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let listen = env.value(GITFAAS_LISTEN);
        let public_url = env.optional(GITFAAS_PUBLIC_URL);
        let public_url = public_url.and_then(|url| web_url(&mut env, GITFAAS_PUBLIC_URL, url));
        let github = github(&mut env);
        let admin_secret = env.optional(GITFAAS_ADMIN_SECRET);
        let master_key_file = env.optional(GITFAAS_MASTER_KEY_FILE);
        let next_master_key_file = env.optional(GITFAAS_NEXT_MASTER_KEY_FILE);
        let limits = rate_limit::Settings::read(&mut env);
        let functions = functions::Settings::read(&mut env);
        let deny = env.value_or(GITFAAS_EGRESS_DENY, Deny::none());
        let own = OwnAddresses::of_this_machine();
        let clone_allow = env.value_or(GITFAAS_CLONE_ALLOW, Allow::none()).guarded(&deny, &own);
        let login = settings::Settings::read(&mut env, &clone_allow);
        let ca_bundle = env.optional(GITFAAS_CA_BUNDLE);
        let streams = streams::Settings::read(&mut env);
        let owners = usage::Settings::read(&mut env, &streams.stores);
        let max_input_bytes = max_input(&mut env, &owners);
        let max_queue_time = env.duration(GITFAAS_MAX_QUEUE_TIME);
        let shutdown_grace = env.duration(GITFAAS_SHUTDOWN_GRACE);
        env.finish(|| {
            Some(Self {
                listen,
                public_url,
                data_dir,
                github: github?,
                login,
                admin_secret,
                master_key_file,
                next_master_key_file,
                limits,
                functions,
                clone_allow,
                ca_bundle,
                streams,
                owners,
                max_input_bytes,
                max_queue_time,
                shutdown_grace,
            })
        })
    }
}

fn github(env: &mut Reader<'_>) -> Option<Github> {
    let api_url = env.value(GITFAAS_GITHUB_API_URL);
    let api_url = web_url(env, GITFAAS_GITHUB_API_URL, api_url);
    let id = env.optional(GITFAAS_GITHUB_APP_ID);
    let key_file: Option<PathBuf> = env.optional(GITFAAS_GITHUB_APP_KEY_FILE);
    let app = match (id, key_file) {
        (Some(id), Some(key_file)) => match app_key::read(&key_file) {
            Ok(key) => Some(App { id, key }),
            Err(problem) => {
                env.problem(GITFAAS_GITHUB_APP_KEY_FILE, problem);
                None
            }
        },
        (None, None) => None,
        (Some(_), None) => {
            env.problem(GITFAAS_GITHUB_APP_KEY_FILE, "not set, but GITFAAS_GITHUB_APP_ID is");
            None
        }
        (None, Some(_)) => {
            env.problem(GITFAAS_GITHUB_APP_ID, "not set, but GITFAAS_GITHUB_APP_KEY_FILE is");
            None
        }
    };
    Some(Github {
        api_url: api_url?,
        token: env.optional(GITFAAS_GITHUB_TOKEN),
        webhook_secret: env.optional(GITFAAS_GITHUB_WEBHOOK_SECRET),
        app,
        accounts: env.list(GITFAAS_GITHUB_ACCOUNTS),
    })
}

/// The longest input of a job, of which every owner can have one.
fn max_input(env: &mut Reader<'_>, owners: &usage::Settings) -> u64 {
    let bytes = env.bytes(GITFAAS_MAX_INPUT);
    let limit = owners.default_limit(Resource::Inputs);
    if bytes > MAX_BYTES {
        env.problem(GITFAAS_MAX_INPUT, format!("must be {} at most", units::show_bytes(MAX_BYTES)));
    } else if bytes + MAX_HEAD_BYTES > limit {
        let (name, limit) = (GITFAAS_MAX_INPUTS_PER_USER.name, units::show_bytes(limit));
        env.problem(GITFAAS_MAX_INPUT, format!("one such input does not fit into {name} ({limit})"));
    }
    bytes
}

/// An http or https address, with a slash at its end so that paths can be joined to it.
fn web_url(env: &mut Reader<'_>, setting: &'static Setting, mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        env.problem(setting, "must begin with http:// or https://");
        return None;
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn read(table: &[(&str, &str)]) -> Result<Config, Problems> {
        let var =
            |name: &str| table.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::read(&var, "/data".into())
    }

    #[test]
    fn nothing_set_is_a_gateway_on_this_machine() {
        let config = read(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.streams.replicas, 1);
        assert_eq!(config.github.authority(), "github.com");
    }

    #[test]
    fn every_wrong_variable_is_named_at_once() {
        let problems = read(&[
            ("GITFAAS_LISTEN", "here"),
            ("GITFAAS_PUBLIC_URL", "ftp://example.com"),
            ("GITFAAS_NATS_REPLICAS", "2"),
            ("GITFAAS_GITHUB_APP_ID", "7"),
        ]);
        insta::assert_snapshot!(problems.unwrap_err(), @r"
        4 environment variables are wrong:
          GITFAAS_LISTEN: invalid socket address syntax
          GITFAAS_PUBLIC_URL: must begin with http:// or https://
          GITFAAS_GITHUB_APP_KEY_FILE: not set, but GITFAAS_GITHUB_APP_ID is
          GITFAAS_NATS_REPLICAS: must be 1 or 3
        ");
    }

    #[test]
    fn a_key_of_the_app_that_cannot_be_used_is_a_problem_of_its_variable() {
        let problems =
            read(&[("GITFAAS_GITHUB_APP_ID", "7"), ("GITFAAS_GITHUB_APP_KEY_FILE", "/nonexistent/app.pem")]);
        insta::assert_snapshot!(problems.unwrap_err(), @r"
        1 environment variable is wrong:
          GITFAAS_GITHUB_APP_KEY_FILE: cannot read /nonexistent/app.pem: No such file or directory (os error 2)
        ");
    }

    #[test_case("25m", "1g" => None)]
    #[test_case("26m", "1g" => Some("must be 25m at most".to_owned()))]
    #[test_case("25m", "25m" => Some("one such input does not fit into GITFAAS_MAX_INPUTS_PER_USER (25m)".to_owned()))]
    fn the_longest_input(longest: &str, of_an_owner: &str) -> Option<String> {
        let table = [
            ("GITFAAS_MAX_OWNERS", "1"),
            ("GITFAAS_STORE_INPUTS", "2g"),
            ("GITFAAS_MAX_INPUT", longest),
            ("GITFAAS_MAX_INPUTS_PER_USER", of_an_owner),
        ];
        read(&table).err().map(|Problems(problems)| problems[0].1.clone())
    }

    #[test_case("https://api.github.com" => "github.com")]
    #[test_case("https://ghe.corp.example/api/v3" => "ghe.corp.example")]
    #[test_case("http://127.0.0.1:9000" => "127.0.0.1:9000")]
    fn the_host_of_repositories(api_url: &str) -> String {
        read(&[("GITFAAS_GITHUB_API_URL", api_url)]).unwrap().github.authority()
    }
}
