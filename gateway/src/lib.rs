//! REST, webhooks, tokens, live logs and pages: everything that is asked of gitfaas over HTTP.
//!
//! Owns the published interface, `/api/v1`, the webhooks and the pages, the index
//! behind lists, the master key, and the grants that workers ask for. Runs nothing of anybody's.
//! Several gateways on one NATS are one service: each has its own index, and nothing else of its own.
//!
//! Where to begin: `router.rs` is the list of routes, `submit.rs` makes a job of a call, `taking/`
//! makes jobs of pushes, `app/` speaks as the GitHub App, `login/` lets people in, `auth.rs`
//! says who sees what, `door.rs` and `limits/` how much, `background.rs` puts right what a crash left.

mod app;
mod app_key;
mod at_forge;
mod audit;
mod audit_list;
mod auth;
mod background;
mod body;
mod calls;
mod client;
mod compare;
pub mod config;
mod connections;
mod deliveries;
mod door;
mod error;
mod events;
mod forge_kind;
mod gateway;
mod grants;
mod health;
mod held;
mod index;
mod key_file;
mod keyring;
mod keys;
mod labels;
mod last_used;
mod lasting;
mod limits;
mod login;
pub mod meta;
mod metrics;
mod missed;
mod openapi;
mod output;
mod pages;
mod places;
mod problems;
mod proof;
mod published;
mod records;
mod refused;
mod registration;
mod rekey;
mod removal;
mod renames;
mod repos;
mod room;
mod router;
mod secrets;
mod serve;
mod status_view;
mod submit;
mod taking;
mod tokens;
mod usage;
mod view;
mod viewers;
mod waiting;
mod webhooks;

pub use config::Config;
pub use gateway::Gateway;
pub use key_file::KeyError;
pub use missed::Round;
pub use records::record_key;
pub use rekey::{Rekeyed, make_key, rekey};
pub use router::{app, endpoints};
pub use serve::{Running, open, serve};
pub use usage::Settings as OwnerLimits;
