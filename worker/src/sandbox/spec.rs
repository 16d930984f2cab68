//! The container specification: the flags that confine an untrusted program.

use std::collections::HashMap;
use std::sync::LazyLock;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};

use super::engine::{Engine, Role};
use super::program::{JobTag, Limits};
use crate::environments::Environment;
use crate::runner::Runner;

/// Where the launcher's volume is mounted.
pub(crate) const LAUNCHER_DIR: &str = "/gitfaas";
/// The certificates, in the launcher's volume.
pub(crate) const CA_BUNDLE: &str = "/gitfaas/ca.pem";
/// Where the tree is put.
pub(crate) const WORK: &str = "/work";
/// Where the environment is mounted.
pub(crate) const ENV: &str = "/env";

/// `/tmp`, which is small: whoever needs more has `/work`, or `/env` while preparing.
const TMP_BYTES: u64 = 64 * 1024 * 1024;

/// Processes and threads, the launcher's six included. A fork bomb of this size is still killed in
/// a fifth of a second.
const MAX_PROCESSES: i64 = 512;

/// The same while preparing: compilers start some threads for each processor.
const MAX_PROCESSES_TO_FILL: i64 = 4096;

/// Open files of one process: what common programs are tested with.
const MAX_OPEN_FILES: i64 = 8192;

/// One file for so many bytes of `/work`; each costs memory of the kernel's.
const BYTES_PER_FILE: u64 = 8 * 1024;
const MIN_FILES: u64 = 16 * 1024;
const MAX_FILES: u64 = 1024 * 1024;

/// The first uid of slots: allocated neither by Debian nor by systemd (which begins at 61184).
const FIRST_UID: u32 = 61_000;
const UIDS: u32 = 180;

/// The uid of pause containers, which no program ever has.
const PAUSE_UID: u32 = 60_999;

/// The whole system call filter, in one line as the API takes it.
static SECCOMP: LazyLock<String> = LazyLock::new(|| {
    let profile: serde_json::Value =
        serde_json::from_str(include_str!("seccomp.json")).expect("a test reads the same file");
    format!("seccomp={profile}")
});

/// What a container can be made from before there is a job for it. Two jobs with equal ones can use
/// the same waiting container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    image_id: String,
    environment: Option<(Environment, Access)>,
    memory_bytes: u64,
    work_bytes: u64,
    file_bytes: u64,
    cpu_millis: u64,
}

/// What a program may do with its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Access {
    Read,
    Fill,
}

/// The uid of a slot's programs.
pub(crate) fn uid(slot: usize) -> u32 {
    FIRST_UID + slot as u32 % UIDS
}

impl Spec {
    /// For the run phase.
    pub(crate) fn run(
        engine: &Engine,
        runner: &Runner,
        environment: Option<Environment>,
        limits: &Limits,
    ) -> Self {
        Self {
            image_id: runner.image_id.clone(),
            environment: environment.map(|environment| (environment, Access::Read)),
            memory_bytes: limits.memory_bytes,
            work_bytes: limits.disk_bytes,
            file_bytes: limits.disk_bytes.max(TMP_BYTES),
            cpu_millis: limits.cpu_millis.clamp(10, engine.cpu_millis),
        }
    }

    /// For filling an environment, with the operator's limits and all processors there are.
    pub(crate) fn fill(engine: &Engine, runner: &Runner, environment: Environment) -> Self {
        let config = &engine.config;
        Self {
            image_id: runner.image_id.clone(),
            environment: Some((environment, Access::Fill)),
            memory_bytes: config.prepare_memory_bytes,
            work_bytes: config.prepare_disk_bytes,
            file_bytes: config.prepare_disk_bytes.max(TMP_BYTES),
            cpu_millis: engine.cpu_millis,
        }
    }

    /// Whether this volume is its environment.
    pub(crate) fn mounts(&self, volume: &str) -> bool {
        self.environment.as_ref().is_some_and(|(environment, _)| environment.volume() == volume)
    }

    /// The request that makes the container.
    pub(crate) fn body(
        &self,
        engine: &Engine,
        slot: usize,
        pause: &str,
        role: Role,
        tag: Option<&JobTag>,
    ) -> ContainerCreateBody {
        let uid = uid(slot);
        let tmpfs = |bytes: u64| {
            let files = (bytes / BYTES_PER_FILE).clamp(MIN_FILES, MAX_FILES);
            format!("rw,exec,nosuid,nodev,size={bytes},nr_inodes={files},uid={uid},gid={uid},mode=0755")
        };
        let mut mounts = vec![launcher_mount(engine)];
        if let Some((environment, access)) = &self.environment {
            mounts.push(volume(environment.volume(), ENV, *access));
        }
        // Files in memory count as memory, and must not take the program's own.
        let memory_bytes = (self.memory_bytes + self.work_bytes + TMP_BYTES) as i64;
        let host_config = HostConfig {
            network_mode: Some(format!("container:{pause}")),
            mounts: Some(mounts),
            tmpfs: Some(HashMap::from([
                (WORK.to_owned(), tmpfs(self.work_bytes)),
                ("/tmp".to_owned(), tmpfs(TMP_BYTES)),
            ])),
            memory: Some(memory_bytes),
            memory_swap: Some(memory_bytes),
            nano_cpus: Some(self.cpu_millis as i64 * 1_000_000),
            ulimits: Some(vec![
                ulimit("nofile", MAX_OPEN_FILES),
                ulimit("core", 0),
                ulimit("fsize", self.file_bytes as i64),
            ]),
            pids_limit: Some(match &self.environment {
                Some((_, Access::Fill)) => MAX_PROCESSES_TO_FILL,
                Some((_, Access::Read)) | None => MAX_PROCESSES,
            }),
            ..confined(engine)
        };
        ContainerCreateBody {
            image: Some(self.image_id.clone()),
            entrypoint: Some(vec![format!("{LAUNCHER_DIR}/launcher"), "wait".to_owned()]),
            cmd: Some(Vec::new()),
            user: Some(format!("{uid}:{uid}")),
            working_dir: Some(WORK.to_owned()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            labels: Some(engine.labels(role, tag)),
            host_config: Some(host_config),
            ..Default::default()
        }
    }
}

/// The request that makes a slot's pause container: a network namespace with nothing but loopback, and
/// the relay to the egress proxy.
pub(crate) fn pause_body(engine: &Engine, image: &str, socket: &str, sockets: Mount) -> ContainerCreateBody {
    /// The relay's two threads for each connection fit.
    const PAUSE_BYTES: i64 = 64 * 1024 * 1024;
    let host_config = HostConfig {
        network_mode: Some("none".to_owned()),
        mounts: Some(vec![launcher_mount(engine), sockets]),
        memory: Some(PAUSE_BYTES),
        memory_swap: Some(PAUSE_BYTES),
        ulimits: Some(vec![ulimit("nofile", MAX_OPEN_FILES), ulimit("core", 0)]),
        ..confined(engine)
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![format!("{LAUNCHER_DIR}/launcher"), "relay".to_owned(), socket.to_owned()]),
        cmd: Some(Vec::new()),
        user: Some(format!("{PAUSE_UID}:{PAUSE_UID}")),
        working_dir: Some("/".to_owned()),
        labels: Some(engine.labels(Role::Pause, None)),
        host_config: Some(host_config),
        ..Default::default()
    }
}

/// What holds for every container.
fn confined(engine: &Engine) -> HostConfig {
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned(), SECCOMP.clone()]),
        readonly_rootfs: Some(true),
        pids_limit: Some(MAX_PROCESSES),
        ipc_mode: Some("private".to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        runtime: engine.config.runtime.clone(),
        ..Default::default()
    }
}

fn launcher_mount(engine: &Engine) -> Mount {
    volume(&engine.launcher_volume, LAUNCHER_DIR, Access::Read)
}

fn volume(source: &str, target: &str, access: Access) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(access == Access::Read),
        ..Default::default()
    }
}

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(limit), hard: Some(limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_one_line_and_knows_neither_io_uring_nor_vsock() {
        assert!(!SECCOMP.contains('\n'));
        for name in ["io_uring_setup", "userfaultfd", "keyctl", "ptrace", "unshare", "bpf"] {
            assert!(!SECCOMP.contains(&format!("{name:?}")), "{name}");
        }
        let profile: serde_json::Value = serde_json::from_str(include_str!("seccomp.json")).unwrap();
        let families: Vec<_> = profile["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["names"][0] == "socket")
            .map(|rule| rule["args"][0]["value"].as_u64().unwrap())
            .collect();
        assert_eq!(families, [1, 2, 10, 16]);
    }
}
