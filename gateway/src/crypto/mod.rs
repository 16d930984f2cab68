//! Keys.

pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod keys;
pub(crate) mod record_key;
pub(crate) mod record_verifier;
pub(crate) mod rekey;
pub(crate) mod sealed;
