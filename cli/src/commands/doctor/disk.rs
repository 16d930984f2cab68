//! Free disk space of the data directory.

use std::path::Path;

use rustix::fs::statvfs;

use super::Check;

/// Mirrors, environments and logs of a busy day.
const WARN_BELOW_BYTES: u64 = 5 << 30;
/// Below this JetStream stops taking writes soon.
const FAIL_BELOW_BYTES: u64 = 512 << 20;
const WHAT: &str = "disk space";

pub(super) fn checks(data_dir: &Path) -> Vec<Check> {
    let Ok(found) = statvfs(data_dir) else {
        return vec![Check::fail(WHAT, format!("{} cannot be looked at", data_dir.display()))];
    };
    vec![space(found.f_bavail.saturating_mul(found.f_frsize), data_dir)]
}

fn space(free: u64, data_dir: &Path) -> Check {
    let message = format!("{:.1} GiB are free for {}", free as f64 / (1 << 30) as f64, data_dir.display());
    if free < FAIL_BELOW_BYTES {
        Check::fail(WHAT, format!("{message}: make room, or set GITFAAS_DATA_DIR to another disk"))
    } else if free < WARN_BELOW_BYTES {
        Check::warn(WHAT, format!("{message}: a few environments of large functions fill that"))
    } else {
        Check::ok(WHAT, message)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::{super::Status, *};

    #[test_case(100 << 30 => Status::Ok)]
    #[test_case(1 << 30 => Status::Warn)]
    #[test_case(1 << 20 => Status::Fail)]
    fn space_that_is_free(bytes: u64) -> Status {
        space(bytes, Path::new("/data")).status
    }
}
