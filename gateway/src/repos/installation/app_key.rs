//! Reads the GitHub App's key file at start-up; a file that is readable by others is rejected.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use jobs::Secret;

/// Permission bits for users outside of the group; a secret that an orchestrator mounts is often readable by
/// its group.
const OTHERS: u32 = 0o007;

/// Reads the key.
///
/// # Errors
/// One sentence about what is wrong with the file.
pub(crate) fn read(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let mode = std::fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(format!("{shown} is open to everybody (mode {:o}): chmod 600 it", mode & 0o777));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    let no_key = || format!("{shown} is not an RSA key in PEM form");
    let key: Secret = text.parse().map_err(|_| no_key())?;
    hooks::app::check_key(&key).map_err(|_| no_key())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_key_file_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        let said = |path: &Path| {
            let sentence = read(path).unwrap_err();
            sentence.replace(&folder.path().display().to_string(), "")
        };
        let missing = said(&path);
        std::fs::write(&path, "not a key").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let open = said(&path);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        insta::assert_snapshot!([missing, open, said(&path)].join("\n"), @r"
        cannot read /app.pem: No such file or directory (os error 2)
        /app.pem is open to everybody (mode 644): chmod 600 it
        /app.pem is not an RSA key in PEM form
        ");
    }
}
