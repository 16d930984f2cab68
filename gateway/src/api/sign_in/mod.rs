//! Signing in, over HTTP: what happens is in [`crate::login`].

pub(crate) mod account;
mod answer;
pub(crate) mod authorize;
pub(crate) mod callback;
pub(crate) mod device_grant;
pub(crate) mod device_page;
pub(crate) mod link;
