//! The call of a function by its name.

use serde::{Deserialize, Serialize};

/// What a job was called as. A job that is not a call of a function by its name has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The name that the function was called by.
    pub name: String,
    /// Whether it may be run again after a fault of ours though its program may have begun: the manifest says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeatable: bool,
}
