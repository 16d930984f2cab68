//! Where NATS is: in the environment, else in what `gitfaas up` left in the data directory.

use std::path::{Path, PathBuf};

use jobs::{
    Secret,
    connect::NatsSettings,
    settings::{GITFAAS_CA_BUNDLE, GITFAAS_NATS_CREDS, GITFAAS_NATS_URL, Problems, Reader},
};

use crate::local_nats::Address;

/// Which NATS is meant.
#[derive(Debug, Clone)]
pub(crate) enum Nats {
    /// One that is run by others.
    External { url: String, creds: Option<PathBuf>, ca_bundle: Option<PathBuf> },
    /// The local one that `up` runs, or ran.
    Local(Address),
}

impl Nats {
    /// The NATS of the environment, if it names one.
    pub(crate) fn external(env: &mut Reader<'_>) -> Option<Self> {
        let creds = env.optional(GITFAAS_NATS_CREDS);
        let ca_bundle = env.optional(GITFAAS_CA_BUNDLE);
        let url = env.optional(GITFAAS_NATS_URL)?;
        Some(Self::External { url, creds, ca_bundle })
    }

    /// The NATS of the environment, else the one that `up` left in this directory.
    pub(crate) fn read(var: &dyn Fn(&str) -> Option<String>, data_dir: &Path) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let external = Self::external(&mut env);
        let file = Address::file(data_dir);
        let nats = external.or_else(|| match Address::read(data_dir) {
            Ok(Some(address)) => Some(Self::Local(address)),
            Ok(None) => {
                let hint = format!("not set, and no `gitfaas up` has left an address in {}", file.display());
                env.problem(GITFAAS_NATS_URL, hint);
                None
            }
            Err(error) => {
                env.problem(
                    GITFAAS_NATS_URL,
                    format!("not set, and {} is of no use: {error}", file.display()),
                );
                None
            }
        });
        env.finish(|| nats)
    }

    /// How `program` connects; the name is what the server's monitoring shows.
    pub(crate) fn settings(&self, program: &str) -> NatsSettings {
        let name = format!("gitfaas {program}");
        match self {
            Self::External { url, creds, ca_bundle } => NatsSettings {
                url: url.clone(),
                user: None,
                creds: creds.clone(),
                ca_bundle: ca_bundle.clone(),
                name,
            },
            Self::Local(address) => NatsSettings {
                url: address.url.clone(),
                user: Some((address.user.clone(), address.password.clone())),
                creds: None,
                ca_bundle: None,
                name,
            },
        }
    }
}

/// A password of letters and digits; it begins with a letter, because the NATS server's
/// configuration reads `1e5…` as a number.
pub(crate) fn new_password() -> Secret {
    format!("p{}", hex::encode(rand::random::<[u8; 24]>())).parse().expect("it is not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_what_up_left() {
        let dir = tempfile::tempdir().unwrap();
        Address::new(4321).write(dir.path()).unwrap();
        let url = |name: &str| (name == "GITFAAS_NATS_URL").then(|| "nats://a:4222,nats://b:4222".to_owned());
        let external = Nats::read(&url, dir.path()).unwrap();
        assert_eq!(external.settings("test").url, "nats://a:4222,nats://b:4222");
        let own = Nats::read(&|_| None, dir.path()).unwrap().settings("test");
        assert_eq!(own.url, "nats://127.0.0.1:4321");
        assert!(own.user.is_some());
    }

    #[test]
    fn without_either_it_is_said_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let problems = Nats::read(&|_| None, dir.path()).unwrap_err().to_string();
        assert!(problems.contains("GITFAAS_NATS_URL: not set, and no `gitfaas up` has left"), "{problems}");
    }

    #[test]
    fn a_password_begins_with_a_letter() {
        assert!(new_password().expose().starts_with('p'));
    }
}
