//! Keys.

pub(crate) mod key_file;
pub(crate) mod keyring;
pub(crate) mod keys;
pub(crate) mod rekey;
