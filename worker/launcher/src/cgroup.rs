//! What the kernel counted for this container, on cgroup v1 and v2, and how full its disks are.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// A file system with less than this free is full: no sensible write fits any more.
const FULL_BELOW_BYTES: u64 = 64 * 1024;

/// The most memory that was in use at once, in bytes.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    ["/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

/// Processes killed for lack of memory.
pub(crate) fn oom_kills() -> u64 {
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
        .iter()
        .find_map(|path| field(&fs::read_to_string(path).ok()?, "oom_kill"))
        .unwrap_or(0)
}

/// Forks refused because of the limit on processes.
pub(crate) fn processes_refused() -> u64 {
    ["/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events"]
        .iter()
        .find_map(|path| field(&fs::read_to_string(path).ok()?, "max"))
        .unwrap_or(0)
}

/// The number behind `name` in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// Whether the file system at `path` has no room left, or no room for another file.
pub(crate) fn is_full(path: &Path) -> bool {
    let Ok(stat) = statvfs(path) else {
        return false;
    };
    let free_bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
    // Some file systems do not count their files and give 0 for both numbers.
    let no_inodes = stat.files() > 0 && stat.files_available() == 0;
    free_bytes < FULL_BELOW_BYTES || no_inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(field(text, "oom_kill"), Some(7));
        assert_eq!(field("max 3\n", "max"), Some(3));
        assert_eq!(field("", "max"), None);
    }
}
