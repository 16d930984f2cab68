//! `nats.json`: address and credentials of the local NATS. Readable for its owner only.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jobs::Secret;
use serde::{Deserialize, Serialize};

use crate::nats::new_password;

/// The only user there.
const USER: &str = "gitfaas";

/// Address and credentials of the local NATS.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
    /// What the server calls itself.
    pub(crate) server_name: String,
    pub(crate) port: u16,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct File {
    url: String,
    user: String,
    password: String,
    server_name: String,
    port: u16,
}

impl Address {
    /// A new password and name at this port of the loopback.
    pub(crate) fn new(port: u16) -> Self {
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            user: USER.to_owned(),
            password: new_password(),
            server_name: format!("gitfaas-{}", hex::encode(rand::random::<[u8; 8]>())),
            port,
        }
    }

    /// What is in the directory at the port it names if that is free, so that who has read the file
    /// finds the server again; else at another one.
    pub(crate) fn renewed(data_dir: &Path) -> anyhow::Result<Self> {
        let free =
            |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
        match Self::read(data_dir)? {
            Some(address) if free(address.port).is_ok() => Ok(address),
            Some(address) => {
                let port = free(0)?.port();
                Ok(Self { url: format!("nats://127.0.0.1:{port}"), port, ..address })
            }
            None => Ok(Self::new(free(0)?.port())),
        }
    }

    /// Where it is written.
    pub(crate) fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("nats.json")
    }

    /// Reads the file, if there is one.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::file(data_dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
        anyhow::ensure!(
            mode & 0o077 == 0,
            "others may read it (mode {mode:o}): remove it, its password is known"
        );
        let file: File = serde_json::from_slice(&text)?;
        let password = file.password.parse().map_err(|why: &str| anyhow::anyhow!("password {why}"))?;
        let File { url, user, server_name, port, password: _ } = file;
        Ok(Some(Self { url, user, password, server_name, port }))
    }

    /// Writes the file: all of it or nothing.
    pub(crate) fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        let file = File {
            url: self.url.clone(),
            user: self.user.clone(),
            password: self.password.expose().to_owned(),
            server_name: self.server_name.clone(),
            port: self.port,
        };
        write_secret(&Self::file(data_dir), &serde_json::to_vec_pretty(&file)?)
    }
}

/// Writes a file readable for its owner only: a temporary file, which is then renamed.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Address::read(dir.path()).unwrap().is_none());
        let address = Address::new(4321);
        address.write(dir.path()).unwrap();
        let read = Address::read(dir.path()).unwrap().unwrap();
        assert_eq!(read.password.expose(), address.password.expose());
        assert_eq!((read.url.as_str(), read.port), ("nats://127.0.0.1:4321", 4321));
        let file = Address::file(dir.path());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Address::read(dir.path()).unwrap_err().to_string().contains("others may read it"));
    }

    #[test]
    fn password_and_name_stay_when_the_port_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(taken.local_addr().unwrap().port());
        address.write(dir.path()).unwrap();
        let renewed = Address::renewed(dir.path()).unwrap();
        assert_ne!(renewed.port, address.port);
        assert!(renewed.url.ends_with(&renewed.port.to_string()));
        assert_eq!(renewed.server_name, address.server_name);
    }
}
