//! Functions: what of registered repositories can be called.

mod publish;
mod version;

pub use version::{GreenPush, LiveVersion, Version, live_key, version_key};
