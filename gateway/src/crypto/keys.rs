//! Keys derived from a master key: one each for sealing, links, forms and bearer tokens.
//!
//! Workers never have it. A sealed value names the id of the key it was sealed with, and is bound
//! to its context: it cannot be moved to another repository or field.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, KeyInit, Mac};
use jobs::{JobId, Secret};
use sha2::Sha256;

/// Length of the master key: that of SHA-256, with which the other keys are derived.
pub(crate) const KEY_BYTES: usize = 32;
/// Length of the nonce that ChaCha20-Poly1305 takes (RFC 8439); a random one is fresh each time.
const NONCE_BYTES: usize = 12;
/// Bytes of a MAC that go into a link: 128 bits cannot be guessed, and the link stays short.
const LINK_BYTES: usize = 16;

/// A sealed value cannot be unsealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Sealed with a key that this gateway does not have.
    #[error("sealed with the key {0}, which this gateway does not have")]
    AnotherKey(String),
    /// Modified, or moved to another context.
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

    /// The key's id, in every value sealed with it and in `meta`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether a sealed value was sealed with this key.
    pub(crate) fn has_sealed(&self, sealed: &str) -> bool {
        sealed.split_once('.').is_some_and(|(id, _)| id == self.id)
    }

    /// The seed of the Ed25519 key that signs bearer tokens.
    pub(crate) fn signing_seed(&self) -> &[u8; KEY_BYTES] {
        &self.tokens
    }

    /// Seals a value for its context, such as `<repo id>.secret` (the cipher's associated data).
    pub(crate) fn seal(&self, context: &str, secret: &Secret) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: context.as_bytes() };
        let cipher = ChaCha20Poly1305::new(&self.seal.into());
        let sealed = cipher.encrypt(&nonce.into(), payload).expect("memory is large enough");
        let bytes = [nonce.as_slice(), &sealed].concat();
        format!("{}.{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Unseals a value that was sealed for this context.
    pub(crate) fn unseal(&self, context: &str, sealed: &str) -> Result<Secret, SealError> {
        let (id, text) = sealed.split_once('.').ok_or(SealError::Damaged)?;
        if id != self.id {
            return Err(SealError::AnotherKey(id.to_owned()));
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let cipher = ChaCha20Poly1305::new(&self.seal.into());
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        let opened = cipher.decrypt(&(*nonce).into(), payload).map_err(|_| SealError::Damaged)?;
        String::from_utf8(opened).ok().and_then(|text| text.parse().ok()).ok_or(SealError::Damaged)
    }

    /// The key of a job's link: it gives read access to this job, and to nothing else.
    pub(crate) fn link(&self, job: JobId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&mac(&self.links, &[job.as_bytes()])[..LINK_BYTES])
    }

    /// Whether `key` is the key of the job's link, compared in constant time.
    pub(crate) fn is_link(&self, job: JobId, key: &str) -> bool {
        equal(self.link(job).as_bytes(), key.as_bytes())
    }

    /// The key of a call's answer: it gives this answer to whoever called, and nothing else of the job.
    pub(crate) fn answer(&self, job: JobId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&mac(&self.links, &[b"answer ", job.as_bytes()])[..LINK_BYTES])
    }

    /// Whether `key` is the key of the call's answer, compared in constant time.
    pub(crate) fn is_answer(&self, job: JobId, key: &str) -> bool {
        equal(self.answer(job).as_bytes(), key.as_bytes())
    }

    /// The anti-forgery token of this session's forms: another site cannot know it.
    pub(crate) fn form(&self, session: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(mac(&self.forms, &[session.as_bytes()]))
    }

    /// Whether `given` is the anti-forgery token of this session's forms, compared in constant time.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_answer_opens_no_page() {
        let (keys, job) = (Keys::new(&[7; KEY_BYTES]), JobId::new());
        assert!(keys.is_answer(job, &keys.answer(job)) && keys.is_link(job, &keys.link(job)));
        assert!(!keys.is_link(job, &keys.answer(job)) && !keys.is_answer(job, &keys.link(job)));
        assert!(!keys.is_answer(JobId::new(), &keys.answer(job)));
    }

    #[test]
    fn what_was_sealed_opens_at_its_place_alone() {
        let keys = Keys::new(&[7; KEY_BYTES]);
        let sealed = keys.seal("a.secret", &"hunter2".parse().unwrap());
        assert!(!sealed.contains("hunter2"));
        assert_eq!(keys.unseal("a.secret", &sealed).unwrap().expose(), "hunter2");
        assert!(matches!(keys.unseal("b.secret", &sealed), Err(SealError::Damaged)));
        assert!(matches!(
            Keys::new(&[8; KEY_BYTES]).unseal("a.secret", &sealed),
            Err(SealError::AnotherKey(_))
        ));
        for damaged in ["", "x", &sealed[..sealed.len() - 2]] {
            assert!(keys.unseal("a.secret", damaged).is_err(), "{damaged}");
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
}
