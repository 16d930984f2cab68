//! Forges: verifies and parses webhooks, posts statuses, and enforces which addresses may be connected to.
//!
//! Does not decide when to run, nor what. The bytes of a delivery go through [`verify`], which alone makes a
//! [`verify::Verified`]; [`incoming`] parses that into an event; [`status`] and [`checks`] report results.
//! [`forge_api`] identifies a repository and manages its webhook, [`ls_remote`] lists the refs of a git
//! server, and every connection is restricted by [`address`]. The types of forges, URLs, refs and events are
//! those of [`jobs`].
#![warn(missing_docs)]

pub mod address;
mod api;
pub mod app;
pub mod budget;
pub mod checks;
pub mod forge_api;
pub mod incoming;
pub mod ls_remote;
pub mod status;
pub mod verify;

pub use jobs::{CloneUrl, Forge, GitRef, Incoming, Push};

/// The hook that makes any bare repository a forge: POSIX sh, with git, openssl and curl.
///
/// It signs and sends a GitHub-shaped push for every ref that was pushed. Its settings are
/// described at its top.
pub const POST_RECEIVE: &str = include_str!("../post-receive");
