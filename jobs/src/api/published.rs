//! The published interface: kept byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

use crate::State;

/// A job to be submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedSendJob)]
pub struct SendJob {
    /// The clone URL.
    #[serde(rename = "URL")]
    pub url: String,
    /// What to call it in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The answer to a submitted job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedSentJob)]
pub struct SentJob {
    /// One sentence.
    pub message: String,
    /// The job's id.
    #[serde(rename = "jobID")]
    pub job_id: String,
    /// What was sent.
    pub data: SentData,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedSentData)]
pub struct SentData {
    /// The clone URL, as it was given.
    #[serde(rename = "gitURL")]
    pub git_url: String,
}

/// Which job is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedNamedJob)]
pub struct NamedJob {
    /// Its id.
    #[serde(rename = "jobID")]
    pub job_id: String,
}

/// A job of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedJob)]
pub struct ListedJob {
    /// Its id.
    #[serde(rename = "jobID")]
    pub job_id: String,
    /// Where it is in its life.
    pub status: State,
    /// The owner's address.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// The clone URL.
    pub url: String,
    /// What its owner called it.
    pub name: String,
    /// Of the run, in seconds.
    #[serde(rename = "elapsedTime")]
    pub elapsed_time: f64,
    /// The beginning of its output, or why it failed; absent while it is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result: Option<String>,
}

/// Who asks for the averages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedStatsRequest)]
pub struct StatsRequest {
    /// The operator's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Averages since the first job, as the observer wrote them; without an observer all are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedAverages)]
pub struct Averages {
    /// Per minute.
    #[serde(rename = "averageRequests")]
    #[schema(value_type = f64)]
    pub requests: Number,
    /// Per minute.
    #[serde(rename = "averageCompleted")]
    #[schema(value_type = f64)]
    pub completed: Number,
    /// Of a run, in seconds.
    #[serde(rename = "averageTime")]
    #[schema(value_type = f64)]
    pub time: Number,
}

/// Why a request is not answered as asked: one of the two, in one sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedError)]
pub struct Error {
    /// To a caller that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// To a caller that is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}
