//! The master key, the keys derived from it, and everything sealed or signed with them.

pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod keys;
pub(crate) mod record_key;
pub(crate) mod record_verifier;
pub(crate) mod rekey;
pub(crate) mod sealed;
pub(crate) mod signing_secret;
