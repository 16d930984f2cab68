//! Forges: what comes in is verified and understood, statuses go out, and which address is public.
//!
//! Does not decide when to run, nor what. A delivery's bytes go through [`verify`], which alone
//! makes a [`verify::Verified`]; [`incoming`] turns that into an event; [`status`] tells the forge
//! how it went. [`forge_api`] asks which repository it is and makes its webhook. [`address`] is the rule that every connection of ours is held to.
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
/// It signs and sends a GitHub-shaped push for every ref that was pushed. How it is configured is
/// told at its top.
pub const POST_RECEIVE: &str = include_str!("../post-receive");
