//! Fetches a commit, prepares its environment, runs it in a throwaway container, and reports.

pub mod attempt;
pub mod attempt_context;
pub mod checkout;
pub mod classify;
pub mod config;
pub mod disk_quota;
pub mod egress;
pub mod environments;
pub mod execute;
pub mod execution_report;
pub mod execution_request;
mod filters;
pub mod grants;
pub mod health;
pub mod identity;
pub mod images;
pub mod local;
pub mod mask;
pub mod metrics;
mod objects;
pub mod output;
pub mod pool;
pub mod prepare;
pub mod queue;
pub mod reaper;
pub mod reporter;
pub mod runner;
pub mod sandbox;
pub mod seats;
pub mod serve;

mod slot_time;
pub mod source;
pub mod startup;
pub mod twin;
mod with_ledger;

pub use config::Config;
pub use serve::serve;
