//! REST, webhooks, tokens, live logs and pages: everything that is asked of gitfaas over HTTP.
//!
//! Owns the published interface, `/api/v1`, the webhooks and the pages, the index
//! behind lists, the master key, and the grants that workers ask for. Runs nothing of anybody's.
//! Several gateways on one NATS are one service: each has its own index, and nothing else of its own.
//!
//! Where to begin: `router.rs` is the list of routes, `submit.rs` makes a job of a call, `taking/`
//! makes jobs of pushes, `app/` speaks as the GitHub App, `login/` lets people in, `auth.rs` says who sees what, `background.rs` puts right what a crash left.

mod app;
mod app_key;
mod at_forge;
mod auth;
mod background;
mod body;
mod calls;
pub mod config;
mod deliveries;
mod error;
mod events;
mod gateway;
mod grants;
mod health;
mod held;
mod index;
mod keys;
mod login;
pub mod meta;
mod metrics;
mod missed;
mod openapi;
mod output;
mod pages;
mod places;
mod published;
mod refused;
mod registration;
mod renames;
mod repos;
mod router;
mod serve;
mod submit;
mod taking;
mod tokens;
mod view;
mod webhooks;

pub use config::Config;
pub use gateway::Gateway;
pub use keys::KeyError;
pub use missed::Round;
pub use router::app;
pub use serve::{Running, open, serve};
