//! Every setting, for `gitfaas config`. The programs read them in their own `config.rs`; a test
//! holds this list against `.env.example`.

/// A setting.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// In words where it is not a value.
    pub(crate) default: &'static str,
    pub(crate) used_by: &'static str,
    pub(crate) meaning: &'static str,
}

const fn variable(
    name: &'static str,
    default: &'static str,
    used_by: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { name, default, used_by, meaning }
}

const ALL: &str = "all";
const CLIENT: &str = "client commands";
const GATEWAY: &str = "gateway";
const WORKER: &str = "worker";
const OBSERVER: &str = "observer";

/// All of them, in the order in which one meets them.
pub(crate) const VARIABLES: &[Variable] = &[
    variable("GITFAAS_URL", "http://127.0.0.1:3000", CLIENT, "where the gateway is"),
    variable("GITFAAS_TOKEN", "that of `gitfaas login`", CLIENT, "an API token, from `gitfaas token create`"),
    variable("GITFAAS_LISTEN", "127.0.0.1:3000", GATEWAY, "where it listens; port 0 takes a free one"),
    variable("GITFAAS_PUBLIC_URL", "http://localhost:<port>", GATEWAY, "its address in links and redirects"),
    variable(
        "GITFAAS_MASTER_KEY_FILE",
        "made in the data directory",
        GATEWAY,
        "32 random bytes, mode 600, the same for every gateway",
    ),
    variable(
        "GITFAAS_NEXT_MASTER_KEY_FILE",
        "",
        GATEWAY,
        "a second one while the master key is being changed",
    ),
    variable(
        "GITFAAS_TRUSTED_PROXIES",
        "",
        GATEWAY,
        "addresses and CIDRs of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
    ),
    variable("GITFAAS_MAX_REQUESTS_PER_MINUTE", "6000", GATEWAY, "requests of one user at one gateway"),
    variable(
        "GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE",
        "600",
        GATEWAY,
        "requests of one address without a good token at one gateway",
    ),
    variable("GITFAAS_MAX_STREAMS_PER_USER", "50", GATEWAY, "live streams of one user at once"),
    variable("GITFAAS_MAX_REPOS_PER_USER", "200", GATEWAY, "repositories that one user registered"),
    variable("GITFAAS_MAX_TOKENS_PER_USER", "100", GATEWAY, "API tokens of one user"),
    variable("GITFAAS_MAX_SECRETS_PER_USER", "its share", GATEWAY, "bytes of sealed secrets of one user"),
    variable(
        "GITFAAS_MAX_REFS_PER_USER",
        "its share",
        GATEWAY,
        "known branches and tags of one user's repositories",
    ),
    variable(
        "GITFAAS_MAX_RECORDS_PER_USER",
        "its share",
        GATEWAY,
        "bytes of one user's job records; the oldest go",
    ),
    variable(
        "GITFAAS_MAX_LOGS_PER_USER",
        "its share",
        GATEWAY,
        "bytes of one user's logs; the oldest jobs go",
    ),
    variable(
        "GITFAAS_MAX_RESULTS_PER_USER",
        "its share",
        GATEWAY,
        "bytes of one user's long results; the oldest jobs go",
    ),
    variable(
        "GITFAAS_MAX_DELIVERIES_PER_USER",
        "its share",
        GATEWAY,
        "bytes of one user's deliveries; the oldest go",
    ),
    variable(
        "GITFAAS_MAX_DELIVERIES_PER_MINUTE",
        "600",
        GATEWAY,
        "signed deliveries of one registration at one gateway",
    ),
    variable(
        "GITFAAS_MAX_OWNERS",
        "32",
        GATEWAY,
        "users and installations; the limits below are by default what so many at their limits fit with",
    ),
    variable("GITFAAS_STORE_RECORDS", "1g", GATEWAY, "job records of all owners"),
    variable("GITFAAS_STORE_DELIVERIES", "512m", GATEWAY, "deliveries of all owners"),
    variable("GITFAAS_STORE_LOGS", "2g", GATEWAY, "logs of all owners"),
    variable("GITFAAS_STORE_RESULTS", "1g", GATEWAY, "long results of all owners"),
    variable("GITFAAS_STORE_SECRETS", "128m", GATEWAY, "sealed secrets of all owners"),
    variable("GITFAAS_STORE_REFS", "128m", GATEWAY, "each of: known refs, pushes, commits of all owners"),
    variable("GITFAAS_MAX_CONNECTIONS", "4096", GATEWAY, "open connections of one gateway"),
    variable(
        "GITFAAS_MAX_CONNECTIONS_PER_ADDRESS",
        "a quarter of all",
        GATEWAY,
        "open connections of one address at one gateway",
    ),
    variable(
        "GITFAAS_ADMIN_SECRET",
        "",
        GATEWAY,
        "secret of /observer/stats; without it an admin's token is needed there",
    ),
    variable(
        "GITFAAS_NATS_URL",
        "`up` starts its own",
        ALL,
        "NATS servers, separated by commas, with user and password",
    ),
    variable("GITFAAS_NATS_REPLICAS", "1", GATEWAY, "copies of everything: 1, or 3 on a cluster of three"),
    variable("GITFAAS_NATS_CREDS", "", ALL, "a NATS credentials file instead of user and password"),
    variable(
        "GITFAAS_DATA_DIR",
        "the user's data directory",
        ALL,
        "mirrors, index, own NATS, the worker's name",
    ),
    variable("GITFAAS_CA_BUNDLE", "", ALL, "PEM file added to the trust of jobs and of our own clients"),
    variable(
        "GITFAAS_SHUTDOWN_GRACE",
        "30s",
        ALL,
        "how long a program that is told to stop finishes what it has in hand",
    ),
    variable(
        "GITFAAS_LOG",
        "info; commands: warn",
        ALL,
        "what is logged on stderr, in the syntax of RUST_LOG, which is heeded too",
    ),
    variable("GITFAAS_LOG_FORMAT", "text", ALL, "`json`: one object a line, for collectors"),
    variable("GITFAAS_WORKER_NAME", "made once, kept in the data directory", WORKER, "its name"),
    variable("GITFAAS_WORKER_SLOTS", "number of cores", WORKER, "jobs at once"),
    variable("GITFAAS_WORKER_LABELS", "default", WORKER, "labels it serves, separated by commas"),
    variable("GITFAAS_WORKER_LISTEN", "nowhere", WORKER, "where it answers /healthz, /readyz and /metrics"),
    variable(
        "GITFAAS_OBSERVER_LISTEN",
        "127.0.0.1:3002",
        OBSERVER,
        "where it answers /healthz, /readyz and /metrics",
    ),
    variable("GITFAAS_DOCKER_HOST", "the local socket", WORKER, "Docker's socket"),
    variable("GITFAAS_RUNTIME", "the daemon's", WORKER, "container runtime of jobs: runc, crun, runsc"),
    variable(
        "GITFAAS_IMAGE_PREFIX",
        "gitfaas",
        WORKER,
        "registry and path before the names of the runner images",
    ),
    variable(
        "GITFAAS_RUNNER_IMAGES",
        "in the binary",
        WORKER,
        "a folder of languages instead of the built-in one",
    ),
    variable(
        "GITFAAS_CLONE_ALLOW",
        "",
        "gateway, worker",
        "names and CIDRs that clones and identity providers may have besides public addresses",
    ),
    variable(
        "GITFAAS_PREPARE_ALLOW",
        "",
        WORKER,
        "names and CIDRs that prepare reaches besides public addresses",
    ),
    variable(
        "GITFAAS_RUN_ALLOW",
        "",
        WORKER,
        "names and CIDRs that functions reach besides public addresses",
    ),
    variable(
        "GITFAAS_EGRESS_DENY",
        "",
        "gateway, worker",
        "names and CIDRs that neither clones, prepare nor functions reach, whatever is allowed",
    ),
    variable("GITFAAS_PREPARE_HOSTS", "any public", WORKER, "patterns of hosts that prepare is narrowed to"),
    variable("GITFAAS_PREPARE_TIMEOUT", "10m", WORKER, "wall clock of prepare"),
    variable("GITFAAS_PREPARE_MEMORY", "2g", WORKER, "memory of prepare"),
    variable("GITFAAS_PREPARE_DISK", "2g", WORKER, "size of what prepare makes"),
    variable(
        "GITFAAS_PROXY_VOLUME",
        "the data directory",
        WORKER,
        "volume that a worker in a container has at /run/gitfaas",
    ),
    variable(
        "GITFAAS_GITHUB_API_URL",
        "https://api.github.com",
        GATEWAY,
        "API of GitHub, or of a forge that speaks like it",
    ),
    variable("GITFAAS_GITHUB_TOKEN", "", GATEWAY, "token for statuses and private clones"),
    variable("GITFAAS_GITHUB_APP_ID", "", GATEWAY, "GitHub App, instead of a token"),
    variable("GITFAAS_GITHUB_APP_KEY_FILE", "", GATEWAY, "the App's private key"),
    variable("GITFAAS_GITHUB_WEBHOOK_SECRET", "", GATEWAY, "secret of POST /webhooks/github"),
    variable(
        "GITFAAS_GITHUB_ACCOUNTS",
        "the App's owner",
        GATEWAY,
        "accounts whose installations of the App are accepted",
    ),
    variable("GITFAAS_OIDC_ISSUER", "https://accounts.google.com", GATEWAY, "identity provider"),
    variable("GITFAAS_OIDC_CLIENT_ID", "", GATEWAY, "our registration there; without it there is no login"),
    variable("GITFAAS_OIDC_CLIENT_SECRET", "", GATEWAY, "its secret"),
    variable("GITFAAS_GITHUB_CLIENT_ID", "", GATEWAY, "GitHub as a further provider"),
    variable("GITFAAS_GITHUB_CLIENT_SECRET", "", GATEWAY, "its secret"),
    variable(
        "GITFAAS_LOGIN_ALLOW",
        "everybody with an account there",
        GATEWAY,
        "who may sign in: @example.com, you@example.com, github:org/NAME, separated by commas",
    ),
    variable(
        "GITFAAS_KEEP_JOBS",
        "90d",
        GATEWAY,
        "how long records and results are kept after their last change",
    ),
    variable("GITFAAS_KEEP_LOGS", "30d", GATEWAY, "how long logs are kept"),
    variable("GITFAAS_MAX_TIMEOUT", "1h", WORKER, "ceiling of a manifest's timeout"),
    variable("GITFAAS_MAX_MEMORY", "4g", WORKER, "ceiling of a manifest's memory"),
    variable("GITFAAS_MAX_CPUS", "4", WORKER, "ceiling of a manifest's cpus"),
    variable("GITFAAS_MAX_DISK", "4g", WORKER, "ceiling of a manifest's disk"),
    variable("GITFAAS_MAX_OUTPUT", "64m", WORKER, "all that a program may write to its outputs"),
    variable("GITFAAS_MAX_RESULT", "1m", WORKER, "what is kept of a result"),
    variable("GITFAAS_MAX_REPO_SIZE", "512m", WORKER, "what a clone may weigh"),
    variable("GITFAAS_FETCH_TIMEOUT", "5m", WORKER, "how long a clone may take"),
    variable("GITFAAS_OWNER_DISK", "8g", WORKER, "what one owner may have of a worker's disk"),
    variable("GITFAAS_MAX_QUEUE_TIME", "24h", GATEWAY, "a job that none took within this time is lost"),
    variable("GITFAAS_MAX_QUEUED_PER_USER", "1000", GATEWAY, "waiting jobs of one user"),
    variable("GITFAAS_MAX_RUNNING_PER_USER", "8", WORKER, "running jobs of one user"),
    variable(
        "GITFAAS_LAST_SLOT_TIMEOUT",
        "60s",
        WORKER,
        "longest timeout, checkout and prepare in the last free slot, once two users had jobs",
    ),
];

/// Names from before a setting was renamed; they are still read.
const OLD_NAMES: [&str; 1] = ["GITFAAS_DOOR_VOLUME"];

/// The names that mean nothing to us: most often a slip of the pen.
pub(crate) fn unknown(names: &[String]) -> Vec<&str> {
    let known =
        |name: &str| VARIABLES.iter().any(|variable| variable.name == name) || OLD_NAMES.contains(&name);
    names.iter().map(String::as_str).filter(|name| !known(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_example_is_listed_and_no_name_twice() {
        let example = include_str!("../../.env.example");
        for line in example.lines().filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        {
            let (name, _) = line;
            // What docker-compose alone reads is no setting of the program.
            if name.starts_with("GITFAAS_") && name != "GITFAAS_PUBLISH" {
                assert_eq!(unknown(&[name.to_owned()]), [""; 0]);
            }
        }
        let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VARIABLES.len());
    }

    #[test]
    fn a_slip_of_the_pen_is_found() {
        assert_eq!(
            unknown(&["GITFAAS_LISTN".to_owned(), "GITFAAS_LISTEN".to_owned(), OLD_NAMES[0].to_owned()]),
            ["GITFAAS_LISTN"]
        );
    }
}
