//! Settings of workers, and those that they share with gateways.

use super::{
    Preset::{Nothing, Value, Words},
    Role, settings,
};

const WORKER_ONLY: &[Role] = &[Role::Worker];

settings! {
    /// What both gateways and workers read.
    GATEWAY_AND_WORKER = "Gateway and worker", &[Role::Gateway, Role::Worker];
    GITFAAS_CLONE_ALLOW: List = Nothing,
        "names and CIDRs of forges and identity providers that are reached besides public addresses, and of \
         forges that get a token over http";
    GITFAAS_EGRESS_DENY: List = Nothing,
        "names and CIDRs that neither clones, prepare nor functions reach, whatever is allowed: the machine's \
         public addresses where the worker runs in a container or behind a translated address";
    GITFAAS_SHUTDOWN_GRACE: Duration = Value("30s"),
        "how long a program that is told to stop finishes what it has in hand";
}

settings! {
    /// The worker, Docker and the network of jobs.
    WORKER = "Worker", WORKER_ONLY;
    GITFAAS_WORKER_NAME: Text = Words("made once, kept in the data directory"), "its name";
    GITFAAS_WORKER_SLOTS: Count = Words("number of cores"), "jobs at once";
    GITFAAS_WORKER_LABELS: List = Value("default"), "labels it serves";
    GITFAAS_WORKER_LISTEN: Address = Words("nowhere; `127.0.0.1:3001` in the compose file"),
        "where it answers `/healthz`, `/readyz` and `/metrics`";
    GITFAAS_DOCKER_HOST: Text = Value("unix:///var/run/docker.sock"), "Docker's socket";
    GITFAAS_RUNTIME: Text = Words("the daemon's"), "container runtime of jobs, such as `runc`, `crun`, `runsc`";
    GITFAAS_IMAGE_PREFIX: Text = Value("gitfaas"), "registry and path before the names of the runner images";
    GITFAAS_RUNNER_IMAGES: Folder = Words("in the binary"), "a folder of languages in place of the built-in one";
    GITFAAS_RUN_ALLOW: List = Nothing, "names and CIDRs that functions reach besides public addresses";
    GITFAAS_PROXY_VOLUME was ["GITFAAS_DOOR_VOLUME"]: Text = Words("the data directory"),
        "volume that a worker in a container has at `/run/gitfaas`";
    // As much as five large repositories, or some environments with heavy packages.
    GITFAAS_OWNER_DISK: Bytes = Value("8g"),
        "what mirrors, environments and spools of one owner may take of a worker's disk together; that owner's \
         oldest go first";
    // Enough for one user, and leaves capacity for others on a small machine.
    GITFAAS_MAX_RUNNING_PER_USER: Count = Value("8"), "running jobs of one user, over all workers";
    // What everybody else waits for at most when all other slots are taken; the default of a manifest's timeout.
    GITFAAS_LAST_SLOT_TIMEOUT: Duration = Value("60s"),
        "longest `timeout`, checkout and prepare of a job in the last free slot of a worker with several, once \
         two users had jobs within 30 days; from `1s`; as long as `GITFAAS_MAX_TIMEOUT`: no difference";
}

settings! {
    /// What the phase that installs packages may reach and use.
    PREPARE = "Worker: prepare", WORKER_ONLY;
    GITFAAS_PREPARE_ALLOW: List = Nothing, "names and CIDRs that prepare reaches besides public addresses";
    GITFAAS_PREPARE_HOSTS: List = Words("any public"), "patterns of hosts that prepare is narrowed to";
    GITFAAS_PREPARE_TIMEOUT: Duration = Value("10m"), "wall clock of prepare";
    GITFAAS_PREPARE_MEMORY: Bytes = Value("2g"), "memory of prepare";
    GITFAAS_PREPARE_DISK: Bytes = Value("2g"), "size of what prepare makes";
}

settings! {
    /// What a job may ask for, write and fetch.
    JOB_LIMITS = "Worker: limits of jobs", WORKER_ONLY;
    GITFAAS_MAX_TIMEOUT: Duration = Value("1h"), "ceiling of a manifest's `timeout`";
    GITFAAS_MAX_MEMORY: Bytes = Value("4g"), "ceiling of `memory`";
    GITFAAS_MAX_CPUS: Cores = Value("4"), "ceiling of `cpus`";
    GITFAAS_MAX_DISK: Bytes = Value("4g"), "ceiling of `disk`";
    // A program that prints a gigabyte is broken.
    GITFAAS_MAX_OUTPUT: Bytes = Value("64m"), "all that a program may write to its outputs";
    // A value that a program fetches; larger things belong in a store of their own.
    GITFAAS_MAX_RESULT: Bytes = Value("1m"), "what is kept of a result";
    // Sources, not data: most repositories have a hundredth of this at depth 1.
    GITFAAS_MAX_REPO_SIZE: Bytes = Value("512m"),
        "what one fetch, and the files of one commit, may weigh, also once they are inflated";
    // Long enough for the largest repository over a slow line.
    GITFAAS_FETCH_TIMEOUT: Duration = Value("5m"), "how long one fetch may take";
}
