//! The configuration of a sandbox. Plain values: the environment is read elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use hooks::address::Allow;

use crate::disk_quota::DiskQuota;

/// How this worker's containers are made, and what they may do.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The daemon (`unix:///…`); the local socket if unset.
    pub docker_host: Option<String>,
    /// The daemon's runtime (`runsc`, …); the daemon's default if unset.
    pub runtime: Option<String>,
    /// This installation. Nothing of another installation is ever touched.
    pub instance: String,
    /// This worker's name, the same after every restart.
    pub worker: String,
    /// Where the sockets of the egress proxies and the index of environments are.
    pub data_dir: PathBuf,
    /// The volume of the egress proxies' sockets, for a worker that runs in a container itself.
    pub proxy_volume: Option<String>,
    /// How many jobs run at once.
    pub slots: usize,
    /// What stands before `/<language>:<hash>` in an image's name, usually `gitfaas`.
    pub image_prefix: String,
    /// A folder with runner images' definitions, in place of the built-in ones.
    pub runner_images: Option<PathBuf>,
    /// Certificates (PEM) that jobs trust besides their image's own.
    pub ca_bundle: Option<PathBuf>,
    /// Reachable in *prepare* besides public addresses.
    pub prepare_allow: Allow,
    /// Reachable in *run* besides public addresses.
    pub run_allow: Allow,
    /// Host patterns that *prepare* is narrowed to; empty: any public host.
    pub prepare_hosts: Vec<String>,
    /// How long one *prepare* may take.
    pub prepare_timeout: Duration,
    /// The memory of *prepare*, files in memory not counted.
    pub prepare_memory_bytes: u64,
    /// What one environment may hold.
    pub prepare_disk_bytes: u64,
    /// What a *prepare* may write to its outputs.
    pub max_output_bytes: u64,
    /// What each owner may have on this disk.
    pub disk: DiskQuota,
}
