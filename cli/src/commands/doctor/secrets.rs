//! Secrets: that they are there, and that nobody else reads them. Their values are never shown.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jobs::settings::{
    GITFAAS_ADMIN_SECRET, GITFAAS_GITHUB_APP_ID, GITFAAS_GITHUB_TOKEN, GITFAAS_GITHUB_WEBHOOK_SECRET,
    GITFAAS_MASTER_KEY_FILE,
};

use super::Check;

/// Bytes of a master key.
const KEY_BYTES: u64 = 32;
/// A secret that is shorter can be guessed by who sees a signature made with it.
const LEAST_SECRET_CHARS: usize = 16;
const KEY: &str = "master key";

pub(super) fn checks(var: &dyn Fn(&str) -> Option<String>, data_dir: &Path) -> Vec<Check> {
    let mut checks = vec![master_key(var, data_dir)];
    for (what, setting) in
        [("webhook secret", GITFAAS_GITHUB_WEBHOOK_SECRET), ("admin secret", GITFAAS_ADMIN_SECRET)]
    {
        if let Some(secret) = setting.text(var) {
            checks.push(if secret.chars().count() < LEAST_SECRET_CHARS {
                Check::warn(
                    what,
                    format!("{} is short: use at least {LEAST_SECRET_CHARS} random characters", setting.name),
                )
            } else {
                Check::ok(what, format!("{} is set", setting.name))
            });
        }
    }
    let github =
        [GITFAAS_GITHUB_TOKEN, GITFAAS_GITHUB_APP_ID].iter().any(|setting| setting.text(var).is_some());
    if github && GITFAAS_GITHUB_WEBHOOK_SECRET.text(var).is_none() {
        let message = "GITFAAS_GITHUB_WEBHOOK_SECRET is not set: /webhooks/github refuses everything; \
                        hooks of single repositories, with their own secrets, work";
        checks.push(Check::warn("webhook secret", message));
    }
    checks
}

fn master_key(var: &dyn Fn(&str) -> Option<String>, data_dir: &Path) -> Check {
    let given = GITFAAS_MASTER_KEY_FILE.text(var).map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| data_dir.join("master.key"));
    let shown = path.display();
    match std::fs::metadata(&path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let mode = found.permissions().mode() & 0o777;
            Check::fail(KEY, format!("others may read {shown} (mode {mode:o}): chmod 600 it"))
        }
        Ok(found) if found.len() != KEY_BYTES => {
            Check::fail(KEY, format!("{shown} has {} bytes instead of {KEY_BYTES}", found.len()))
        }
        Ok(_) => Check::ok(KEY, format!("{shown}, for its owner only; keep a copy elsewhere")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => {
            Check::ok(KEY, format!("none yet: the first gateway makes {shown}"))
        }
        Err(error) => Check::fail(KEY, format!("{shown} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Status, *};

    #[test]
    fn a_key_that_others_may_read_fails_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        std::fs::write(&path, [b'k'; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let check = &checks(&|_| None, dir.path())[0];
        assert_eq!(check.status, Status::Fail);
        assert!(!check.message.contains("kkk"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(checks(&|_| None, dir.path())[0].status, Status::Ok);
    }

    #[test]
    fn a_short_secret_is_a_warning() {
        let var = |name: &str| (name == "GITFAAS_ADMIN_SECRET").then(|| "hunter2".to_owned());
        let dir = tempfile::tempdir().unwrap();
        let checks = checks(&var, dir.path());
        assert_eq!(checks[1].status, Status::Warn);
        assert!(!checks[1].message.contains("hunter2"));
    }
}
