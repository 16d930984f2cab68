//! How the service is doing.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How the service is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs that run.
    pub working: u64,
    /// What the observer last wrote; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub observer: Option<Value>,
}
