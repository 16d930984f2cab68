//! What a delivery will do, stored before it is done.

use serde::{Deserialize, Serialize};

use crate::{JobId, StoredJson};

/// What a delivery does beyond what its event says, so that whoever finishes it after a crash does the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveryPlan {
    /// Of a synthetic push: the revision of the ref head that it replaces, 0 for none.
    #[serde(default, deserialize_with = "StoredJson::present", skip_serializing_if = "Option::is_none")]
    pub head_revision: Option<StoredJson<u64>>,
    /// Of a replay: the first job of the delivery that it replays.
    #[serde(default, deserialize_with = "StoredJson::present", skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<StoredJson<JobId>>,
    /// Of a check's re-run: the jobs that the delivery's own jobs repeat, in the same order.
    #[serde(default, deserialize_with = "StoredJson::present", skip_serializing_if = "Option::is_none")]
    pub reruns: Option<StoredJson<Vec<JobId>>>,
}

impl DeliveryPlan {
    /// This plan; what it leaves open is as in `earlier`.
    #[must_use]
    pub fn or(self, earlier: &Self) -> Self {
        Self {
            head_revision: self.head_revision.or_else(|| earlier.head_revision.clone()),
            rerun_of: self.rerun_of.or_else(|| earlier.rerun_of.clone()),
            reruns: self.reruns.or_else(|| earlier.reruns.clone()),
        }
    }
}
