//! The master key and what comes from it: one key each for sealing, links, forms and bearer tokens.
//!
//! Workers never have it. A sealed value names the id of the key it was sealed with, and is bound
//! to what it belongs to: it cannot be moved to another repository or field.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, KeyInit, Mac};
use jobs::{JobId, Ledger, Secret};
use sha2::Sha256;

/// Length of the master key: that of SHA-256, from which the other keys come.
const KEY_BYTES: usize = 32;
/// Length of the nonce that ChaCha20-Poly1305 takes (RFC 8439); a random one is fresh each time.
const NONCE_BYTES: usize = 12;
/// Bytes of a MAC that go into a link: 128 bits cannot be guessed, and the link stays short.
const LINK_BYTES: usize = 16;
/// The key in `meta` under which the master key's id lies: `{"id": "<16 hex digits>"}`.
const META_KEY: &str = "master_key";
/// The file made under the data directory when none is configured.
const FILE_NAME: &str = "master.key";

/// The master key cannot be used: configuration, never a passing trouble.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there, and NATS knows a key already.
    #[error(
        "no master key in {path}, but this installation has one: copy the file from another gateway, or set GITFAAS_MASTER_KEY_FILE"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another key than the one of this installation.
    #[error(
        "the master key in {path} is not the one of this installation (its id is {found}, it must be {wanted})"
    )]
    Another {
        /// The file.
        path: PathBuf,
        /// Its id.
        found: String,
        /// What NATS knows.
        wanted: String,
    },
    /// Not 32 bytes.
    #[error("{path} is not a master key: it must hold exactly {KEY_BYTES} random bytes")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("cannot use the master key file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A sealed value cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Sealed with a key that is not ours.
    #[error("sealed with the key {0}, which this gateway does not have")]
    AnotherKey(String),
    /// Changed, or moved from where it belongs.
    #[error("a sealed value is damaged")]
    Damaged,
}

/// All keys of a gateway. `Debug` shows the id alone.
#[derive(Clone)]
pub(crate) struct Keys {
    id: String,
    seal: [u8; KEY_BYTES],
    links: [u8; KEY_BYTES],
    forms: [u8; KEY_BYTES],
    tokens: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.id)
    }
}

impl Keys {
    /// Derives every key from the master key, one label each (HKDF's expand step, RFC 5869, of
    /// one block: the master key is random already).
    pub(crate) fn new(master: &[u8; KEY_BYTES]) -> Self {
        let derived = |label: &str| mac(master, &[b"gitfaas ", label.as_bytes(), &[1]]);
        Self {
            id: hex::encode(&derived("id")[..8]),
            seal: derived("seal"),
            links: derived("links"),
            forms: derived("forms"),
            tokens: derived("tokens"),
        }
    }

    /// Reads the key, or makes it when NATS knows none yet. The file is written and synced before
    /// its id goes to NATS; who loses that race deletes the file he just made.
    pub(crate) async fn open(
        ledger: &Ledger,
        configured: Option<&Path>,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let path = configured.map_or_else(|| data_dir.join(FILE_NAME), Path::to_owned);
        let known = ledger.meta.get(META_KEY).await?;
        let wanted = known.and_then(|entry| Some(entry.value.get("id")?.as_str()?.to_owned()));
        let (keys, made) = match read(&path)? {
            Some(master) => (Self::new(&master), false),
            None if wanted.is_some() => return Err(KeyError::Missing { path }.into()),
            None => (Self::new(&make(&path)?), true),
        };
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => {
                let value = serde_json::json!({ "id": keys.id });
                match ledger.meta.create(META_KEY, &value).await {
                    Ok(_) => keys.id.clone(),
                    Err(error) if error.is_conflict() => {
                        let now = ledger.meta.get(META_KEY).await?;
                        now.and_then(|entry| Some(entry.value.get("id")?.as_str()?.to_owned()))
                            .unwrap_or_default()
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if keys.id == wanted {
            return Ok(keys);
        }
        if made {
            let _ = std::fs::remove_file(&path);
            return Err(KeyError::Missing { path }.into());
        }
        Err(KeyError::Another { path, found: keys.id, wanted }.into())
    }

    /// The seed of the Ed25519 key that signs bearer tokens.
    pub(crate) fn signing_seed(&self) -> &[u8; KEY_BYTES] {
        &self.tokens
    }

    /// Seals a value that belongs to `place`, such as `<repo id>.secret`.
    pub(crate) fn seal(&self, place: &str, secret: &Secret) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: place.as_bytes() };
        let cipher = ChaCha20Poly1305::new(&self.seal.into());
        let sealed = cipher.encrypt(&nonce.into(), payload).expect("memory is large enough");
        let bytes = [nonce.as_slice(), &sealed].concat();
        format!("{}.{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens what was sealed for `place`.
    pub(crate) fn open_sealed(&self, place: &str, sealed: &str) -> Result<Secret, SealError> {
        let (id, text) = sealed.split_once('.').ok_or(SealError::Damaged)?;
        if id != self.id {
            return Err(SealError::AnotherKey(id.to_owned()));
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let cipher = ChaCha20Poly1305::new(&self.seal.into());
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let opened = cipher.decrypt(&(*nonce).into(), payload).map_err(|_| SealError::Damaged)?;
        String::from_utf8(opened).ok().and_then(|text| text.parse().ok()).ok_or(SealError::Damaged)
    }

    /// The key of a job's link: whoever has it may read this job, and nothing else.
    pub(crate) fn link(&self, job: JobId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&mac(&self.links, &[job.as_bytes()])[..LINK_BYTES])
    }

    /// Whether `key` is the key of the job's link, compared in constant time.
    pub(crate) fn is_link(&self, job: JobId, key: &str) -> bool {
        equal(self.link(job).as_bytes(), key.as_bytes())
    }

    /// What a form must carry that belongs to this session: another site cannot know it.
    pub(crate) fn form(&self, session: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(mac(&self.forms, &[session.as_bytes()]))
    }

    /// Whether a form belongs to this session.
    pub(crate) fn is_form(&self, session: &str, given: &str) -> bool {
        equal(self.form(session).as_bytes(), given.as_bytes())
    }
}

/// Compares in a time that depends on the lengths alone.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(one, other).into()
}

fn mac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, KeyError> {
    let unreadable = |source| KeyError::File { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // One byte more than a key has, so that a longer file is noticed and never read whole.
    let mut bytes = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.try_into() {
        Ok(master) => Ok(Some(master)),
        Err(_) => Err(KeyError::Malformed { path: path.to_owned() }),
    }
}

fn make(path: &Path) -> Result<[u8; KEY_BYTES], KeyError> {
    let unwritable = |source| KeyError::File { path: path.to_owned(), source };
    let master: [u8; KEY_BYTES] = rand::random();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(unwritable)?;
    file.write_all(&master).and_then(|()| file.sync_all()).map_err(unwritable)?;
    Ok(master)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_at_its_place_alone() {
        let keys = Keys::new(&[7; KEY_BYTES]);
        let sealed = keys.seal("a.secret", &"hunter2".parse().unwrap());
        assert!(!sealed.contains("hunter2"));
        assert_eq!(keys.open_sealed("a.secret", &sealed).unwrap().expose(), "hunter2");
        assert!(matches!(keys.open_sealed("b.secret", &sealed), Err(SealError::Damaged)));
        assert!(matches!(
            Keys::new(&[8; KEY_BYTES]).open_sealed("a.secret", &sealed),
            Err(SealError::AnotherKey(_))
        ));
        for damaged in ["", "x", &sealed[..sealed.len() - 2]] {
            assert!(keys.open_sealed("a.secret", damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_link_opens_one_job() {
        let keys = Keys::new(&[7; KEY_BYTES]);
        let (one, other) = (JobId::new(), JobId::new());
        assert!(keys.is_link(one, &keys.link(one)));
        assert!(!keys.is_link(other, &keys.link(one)));
        assert!(!keys.is_link(one, ""));
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        assert!(read(&path).unwrap().is_none());
        let made = make(&path).unwrap();
        assert_eq!(read(&path).unwrap(), Some(made));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err());
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(read(&path), Err(KeyError::Malformed { .. })));
    }
}
