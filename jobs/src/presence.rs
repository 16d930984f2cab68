//! Which workers are there: an entry each in `workers`, gone by itself when not renewed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Label, WorkerName};

/// What a worker says of itself every [`crate::lease::HEARTBEAT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Its name, also the key.
    pub worker: WorkerName,
    /// What it serves.
    pub labels: Vec<Label>,
    /// The languages whose images it has.
    pub languages: Vec<String>,
    /// Jobs it runs at once.
    pub slots: usize,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
