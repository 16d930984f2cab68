//! What a worker is told by its environment, read once at the start.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hooks::address::{Allow, Deny, OwnAddresses};
use jobs::{
    Label, WorkerName,
    manifest::Ceilings,
    settings::{
        GITFAAS_CA_BUNDLE, GITFAAS_CLONE_ALLOW, GITFAAS_DOCKER_HOST, GITFAAS_EGRESS_DENY,
        GITFAAS_FETCH_TIMEOUT, GITFAAS_IMAGE_PREFIX, GITFAAS_LAST_SLOT_TIMEOUT, GITFAAS_MAX_OUTPUT,
        GITFAAS_MAX_REPO_SIZE, GITFAAS_MAX_RESULT, GITFAAS_MAX_RUNNING_PER_USER, GITFAAS_OWNER_DISK,
        GITFAAS_PREPARE_ALLOW, GITFAAS_PREPARE_DISK, GITFAAS_PREPARE_HOSTS, GITFAAS_PREPARE_MEMORY,
        GITFAAS_PREPARE_TIMEOUT, GITFAAS_PROXY_VOLUME, GITFAAS_RUN_ALLOW, GITFAAS_RUNNER_IMAGES,
        GITFAAS_RUNTIME, GITFAAS_SHUTDOWN_GRACE, GITFAAS_WORKER_LABELS, GITFAAS_WORKER_LISTEN,
        GITFAAS_WORKER_NAME, GITFAAS_WORKER_SLOTS, Problems, Reader,
    },
};

/// A worker's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Mirrors, environments, the sockets of the egress proxies, the worker's name.
    pub data_dir: PathBuf,
    /// A name given by the operator; else one is made and kept in the data directory.
    pub name: Option<WorkerName>,
    /// Jobs at once.
    pub slots: usize,
    /// Whose jobs to take.
    pub labels: Vec<Label>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served, if anywhere.
    pub listen: Option<SocketAddr>,
    /// Docker's socket.
    pub docker_host: Option<String>,
    /// Docker's runtime.
    pub runtime: Option<String>,
    /// What stands before an image's name.
    pub image_prefix: String,
    /// Another folder of languages than the built-in one.
    pub runner_images: Option<PathBuf>,
    /// The volume of the egress proxies' sockets, for a worker that runs in a container itself.
    pub proxy_volume: Option<String>,
    /// Certificates for jobs and for our own clients.
    pub ca_bundle: Option<PathBuf>,
    /// Reachable for clones, besides public addresses. This and the next two also refuse what
    /// `GITFAAS_EGRESS_DENY` lists, and this machine's own addresses unless they name them.
    pub clone_allow: Allow,
    /// Reachable in the prepare phase, besides public addresses.
    pub prepare_allow: Allow,
    /// Reachable in the run phase, besides public addresses.
    pub run_allow: Allow,
    /// What prepare is narrowed to; empty means any public host.
    pub prepare_hosts: Vec<String>,
    /// Limits of the prepare phase.
    pub prepare_timeout: Duration,
    /// Memory of the prepare phase.
    pub prepare_memory_bytes: u64,
    /// Size of what the prepare phase makes.
    pub prepare_disk_bytes: u64,
    /// What a manifest may ask for.
    pub ceilings: Ceilings,
    /// Output of a job, both streams together.
    pub max_output_bytes: u64,
    /// Bytes of standard output that are kept.
    pub max_result_bytes: u64,
    /// Bytes of a commit's files, and of one fetch.
    pub max_repo_bytes: u64,
    /// One fetch, from the first byte to the last object.
    pub fetch_timeout: Duration,
    /// Mirrors, environments and spools of one owner on this worker's disk, together.
    pub owner_disk_bytes: u64,
    /// Running jobs of one owner, over all workers.
    pub max_running_per_user: usize,
    /// The longest timeout, checkout and prepare of a job in the last free slot.
    pub last_slot_timeout: Duration,
    /// How long running jobs may go on after a stop signal.
    pub shutdown_grace: Duration,
}

impl Config {
    /// Reads every variable through `var`, and reports all that is wrong.
    ///
    /// # Errors
    /// All problems at once.
    pub fn read(var: &dyn Fn(&str) -> Option<String>, data_dir: &Path) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let deny = env.value_or(GITFAAS_EGRESS_DENY, Deny::none());
        let own = OwnAddresses::of_this_machine();
        let mut reach = |setting| env.value_or(setting, Allow::none()).guarded(&deny, &own);
        let clone_allow = reach(GITFAAS_CLONE_ALLOW);
        let prepare_allow = reach(GITFAAS_PREPARE_ALLOW);
        let run_allow = reach(GITFAAS_RUN_ALLOW);
        let config = Self {
            data_dir: data_dir.to_owned(),
            name: env.optional(GITFAAS_WORKER_NAME),
            slots: env.value_or(GITFAAS_WORKER_SLOTS, cores),
            labels: env.list(GITFAAS_WORKER_LABELS),
            listen: env.optional(GITFAAS_WORKER_LISTEN),
            docker_host: Some(env.value(GITFAAS_DOCKER_HOST)),
            runtime: env.optional(GITFAAS_RUNTIME),
            image_prefix: env.value(GITFAAS_IMAGE_PREFIX),
            runner_images: env.optional(GITFAAS_RUNNER_IMAGES),
            proxy_volume: env.optional(GITFAAS_PROXY_VOLUME),
            ca_bundle: env.optional(GITFAAS_CA_BUNDLE),
            clone_allow,
            prepare_allow,
            run_allow,
            prepare_hosts: env.list(GITFAAS_PREPARE_HOSTS),
            prepare_timeout: env.duration(GITFAAS_PREPARE_TIMEOUT),
            prepare_memory_bytes: env.bytes(GITFAAS_PREPARE_MEMORY),
            prepare_disk_bytes: env.bytes(GITFAAS_PREPARE_DISK),
            ceilings: Ceilings::read(&mut env),
            max_output_bytes: env.bytes(GITFAAS_MAX_OUTPUT),
            max_result_bytes: env.bytes(GITFAAS_MAX_RESULT),
            max_repo_bytes: env.bytes(GITFAAS_MAX_REPO_SIZE),
            fetch_timeout: env.duration(GITFAAS_FETCH_TIMEOUT),
            owner_disk_bytes: env.bytes(GITFAAS_OWNER_DISK),
            max_running_per_user: env.value(GITFAAS_MAX_RUNNING_PER_USER),
            last_slot_timeout: env.duration(GITFAAS_LAST_SLOT_TIMEOUT),
            shutdown_grace: env.duration(GITFAAS_SHUTDOWN_GRACE),
        };
        if config.slots == 0 {
            env.problem(GITFAAS_WORKER_SLOTS, "must be at least 1");
        }
        if config.last_slot_timeout < Duration::from_secs(1) {
            env.problem(GITFAAS_LAST_SLOT_TIMEOUT, "must be at least 1s");
        }
        if config.max_repo_bytes == 0 {
            env.problem(GITFAAS_MAX_REPO_SIZE, "must be more than 0: nothing could be fetched");
        }
        if config.fetch_timeout.is_zero() {
            env.problem(GITFAAS_FETCH_TIMEOUT, "must be more than 0: nothing could be fetched");
        }
        // Else what one job needs would be over its owner's share.
        let least = config.max_repo_bytes.max(config.prepare_disk_bytes);
        if config.owner_disk_bytes < least {
            env.problem(
                GITFAAS_OWNER_DISK,
                format!(
                    "must be at least {}, the larger of GITFAAS_MAX_REPO_SIZE and GITFAAS_PREPARE_DISK",
                    jobs::units::show_bytes(least)
                ),
            );
        }
        if let Some(path) = config.ca_bundle.as_ref().filter(|path| !path.is_file()) {
            env.problem(GITFAAS_CA_BUNDLE, format!("{} is not a file", path.display()));
        }
        env.finish(|| Some(config))
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test]
    fn nothing_set_is_a_working_configuration() {
        let config = Config::read(&|_| None, Path::new("/data")).unwrap();
        assert_eq!(config.labels, [Label::default()]);
        assert_eq!(config.ceilings, Ceilings::default());
    }

    #[test_case("GITFAAS_PROXY_VOLUME", "OTHER" => Some("new".to_owned()) ; "by its name")]
    #[test_case("GITFAAS_DOOR_VOLUME", "OTHER" => Some("new".to_owned()) ; "by its old name")]
    #[test_case("GITFAAS_PROXY_VOLUME", "GITFAAS_DOOR_VOLUME" => Some("new".to_owned()) ; "the new name wins")]
    #[test_case("OTHER", "OTHER" => None ; "unset")]
    fn the_volume_of_the_proxy_sockets_is_read(name: &str, second: &str) -> Option<String> {
        let var = |asked: &str| match asked {
            _ if asked == name => Some("new".to_owned()),
            _ if asked == second => Some("old".to_owned()),
            _ => None,
        };
        Config::read(&var, Path::new("/data")).unwrap().proxy_volume
    }

    #[test_case("GITFAAS_MAX_REPO_SIZE", "0" => "GITFAAS_MAX_REPO_SIZE: must be more than 0: nothing could be fetched" ; "no bytes")]
    #[test_case("GITFAAS_MAX_REPO_SIZE", "-1" => "GITFAAS_MAX_REPO_SIZE: must be bytes, or a number with `k`, `m` or `g` (1024-based)" ; "nonsense")]
    #[test_case("GITFAAS_FETCH_TIMEOUT", "0" => "GITFAAS_FETCH_TIMEOUT: must be more than 0: nothing could be fetched" ; "no time")]
    #[test_case("GITFAAS_FETCH_TIMEOUT", "soon" => "GITFAAS_FETCH_TIMEOUT: must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`" ; "no duration")]
    #[test_case("GITFAAS_OWNER_DISK", "0" => "GITFAAS_OWNER_DISK: must be at least 2g, the larger of GITFAAS_MAX_REPO_SIZE and GITFAAS_PREPARE_DISK" ; "no disk")]
    #[test_case("GITFAAS_MAX_REPO_SIZE", "9g" => "GITFAAS_OWNER_DISK: must be at least 9g, the larger of GITFAAS_MAX_REPO_SIZE and GITFAAS_PREPARE_DISK" ; "a repository beyond the share")]
    fn a_limit_that_lets_nothing_through_is_told(name: &str, value: &str) -> String {
        let problems = Config::read(&|asked| (asked == name).then(|| value.to_owned()), Path::new("/data"));
        let Problems(problems) = problems.unwrap_err();
        problems.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_wrong_variable_is_named() {
        let var = |name: &str| match name {
            "GITFAAS_WORKER_SLOTS" => Some("0".to_owned()),
            "GITFAAS_WORKER_LABELS" => Some("gpu,a b".to_owned()),
            "GITFAAS_MAX_MEMORY" => Some("lots".to_owned()),
            "GITFAAS_LAST_SLOT_TIMEOUT" => Some("0s".to_owned()),
            _ => None,
        };
        insta::assert_snapshot!(Config::read(&var, Path::new("/data")).unwrap_err(), @r#"
        4 environment variables are wrong:
          GITFAAS_WORKER_LABELS: "a b": must be 1 to 48 letters, digits, `-` or `_`, beginning with a letter or digit
          GITFAAS_MAX_MEMORY: must be bytes, or a number with `k`, `m` or `g` (1024-based)
          GITFAAS_WORKER_SLOTS: must be at least 1
          GITFAAS_LAST_SLOT_TIMEOUT: must be at least 1s
        "#);
    }
}
