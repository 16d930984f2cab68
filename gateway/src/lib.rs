//! REST, webhooks, tokens, live logs and pages: everything that is asked of gitfaas over HTTP.
//!
//! Owns the published interface, `/api/v1`, the webhooks and the pages, the index
//! behind lists, the master key, and the grants that workers ask for. Runs nothing of anybody's.
//! Several gateways on one NATS are one service: each has its own index, and nothing else of its own.
//!
//! Where to begin: `router.rs` is the list of routes, `submit.rs` makes a job of a call, `taking/`
//! makes jobs of pushes, `app/` speaks as the GitHub App, `login/` lets people in, `auth.rs`
//! says who sees what, `door.rs` and `limits/` how much, `background.rs` puts right what a crash left.

mod api;
mod audit;
mod auth;
mod background;
pub mod config;
mod crypto;
mod deliveries;
mod error;
mod extract;
mod grants;
mod html;
mod http;
mod index;
mod jobs;
mod login;
pub mod meta;
mod metrics;
mod page_urls;
mod pages;
mod reconcile;
mod records;
mod repos;
mod routes;
mod serve;
mod state;
mod usage;

pub use config::Config;
pub use crypto::{
    key_file::KeyError,
    record_key::record_key,
    rekey::{Rekeyed, make_key, rekey},
};
pub use reconcile::ref_poll::Round;
pub use routes::{app, endpoints};
pub use serve::{Running, open, serve};
pub use state::Gateway;
pub use usage::Settings as OwnerLimits;
