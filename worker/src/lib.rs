//! Fetches a commit, prepares its environment, runs it in a throwaway container, and reports.

pub mod attempt;
pub mod checkout;
pub mod config;
pub mod disk;
pub mod egress;
pub mod environments;
pub mod execute;
mod filtered;
pub mod grants;
pub mod health;
pub mod images;
pub mod local;
pub mod mask;
pub mod metrics;
mod objects;
pub mod order;
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
pub mod sink;
mod slot_time;
pub mod source;
pub mod start;
pub mod twin;
pub mod verdict;
mod with_ledger;

pub use config::Config;
pub use serve::serve;
