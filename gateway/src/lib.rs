//! The HTTP side of gitfaas: the REST API, webhooks, tokens, live logs and pages.
//!
//! Owns the published API, `/api/v1`, the webhooks and the pages, the index behind lists, the master key, and
//! the grants that workers ask for. Runs no user code. Several gateways on one NATS are one service: each has
//! its own index, and no other state of its own.
//!
//! Where to begin: `routes.rs` is the table of routes, `jobs/` submits and reruns jobs, `deliveries/` turns
//! webhook deliveries into jobs, `repos/installation/` is the GitHub App, `login/` signs users in, `auth/`
//! authenticates and authorizes callers, `http/rate_limit/` limits them, `reconcile/` and `background.rs`
//! repair what a crash left.

mod api;
mod audit;
mod auth;
mod background;
mod backoff;
pub mod config;
mod crypto;
mod deliveries;
mod error;
mod extract;
mod functions;
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
pub use reconcile::ref_poll::PollSummary;
pub use routes::{app, endpoints, openapi_json};
pub use serve::{Running, open, serve};
pub use state::Gateway;
pub use usage::Settings as OwnerLimits;
