//! What a forge is told about its delivery.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::{JobId, Verdict};

/// What was decided about a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryReceipt {
    /// The delivery's id.
    pub delivery: String,
    /// What was decided.
    #[schema(value_type = Verdict)]
    pub verdict: OpenEnum<Verdict>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The jobs that it made; absent where it made none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jobs: Option<Vec<JobId>>,
}
