//! The vocabulary of the end-to-end tests: a [`Service`] is the real program with a data directory, a
//! NATS and a [`fake_forge`] of its own, on the real Docker daemon.
//!
//! Two rules hold because of this crate:
//! * nothing sleeps to wait: every wait is for an event, ends within a named time, and says what it
//!   found instead;
//! * whatever a test starts is ended by its id, and its containers are removed by its installation's
//!   label, also when the test fails.

pub mod api;
pub mod cluster;
mod config;
pub mod delivery;
pub mod docker;
mod docker_semaphore;
pub mod fake_forge;
pub mod forge_kind;
pub mod function;
mod git;
pub mod git_server;
pub mod installation;
pub mod ledger;
pub mod program;
pub mod published;
pub mod repository;
pub mod sample_programs;
pub mod service;
pub mod tls;
pub mod waiting;

pub use api::{Api, Job};
pub use cluster::Cluster;
pub use config::is_long;
pub use delivery::Delivery;
pub use fake_forge::FakeForge;
pub use forge_kind::ForgeKind;
pub use function::Function;
pub use published::Published;
pub use repository::{Commit, Repository};
pub use service::Service;
