//! Why a call of a function has no answer of the function's (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::{Cause, Fault, JobId};

/// The media type of a [`CallProblem`] (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a call of a function has no answer of the function's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallProblem {
    /// The status's own words: `type` is always absent, which means `about:blank`.
    pub title: String,
    /// The status again.
    pub status: u16,
    /// One sentence.
    pub detail: String,
    /// Why its job ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Cause>)]
    pub cause: Option<OpenEnum<Cause>>,
    /// Whose failure it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Fault>)]
    pub fault: Option<OpenEnum<Fault>>,
    /// Its job, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub job: Option<JobId>,
    /// Whether the program may have begun although the call failed by the service's fault: a caller who repeats the
    /// call may do twice what it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_run: bool,
}
