//! What a worker may have for a job or a status: asked of a gateway, never kept.
//!
//! Workers hold no key and no forge's credential. The subject says who asks; NATS lets each worker
//! publish under its own name only.

use serde::{Deserialize, Serialize};

use crate::{Forge, JobId, Stored};

/// What a worker asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GrantRequest {
    /// For the attempt that the record says is the asker's: secrets and a clone token.
    Job {
        /// Which job.
        job: JobId,
        /// Which attempt of it.
        attempt: u32,
        /// The secrets that the manifest names; empty before it was read.
        secrets: Vec<String>,
    },
    /// For a `commits` entry that the asker has taken: how to post its status.
    Status {
        /// The key in `commits`.
        commit: String,
        /// The job whose record is posted.
        job: JobId,
    },
    /// The same for an entry that names a delivery: what is said of it, only a gateway knows.
    Delivery {
        /// The key in `commits`.
        commit: String,
        /// The delivery that the entry names.
        delivery: String,
    },
}

/// A request, and what its asker adds to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// What is asked for.
    #[serde(flatten)]
    pub request: GrantRequest,
    /// SHA-256, in hex, of the token of an earlier grant that the forge did not take: a fresh one is
    /// made where that can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What a gateway answers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GrantReply {
    /// For a job.
    Job(JobGrant),
    /// For a status.
    Status(StatusGrant),
    /// For a delivery.
    Delivery(DeliveryGrant),
    /// Not given, and why. Final: the same request will be refused again.
    Refused {
        /// One sentence, shown to the user whom it concerns.
        reason: String,
    },
    /// Not given now; another try may do better.
    Unavailable {
        /// One sentence for the log.
        reason: String,
    },
}

impl std::fmt::Debug for GrantReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(_) => f.write_str("Job(…)"),
            Self::Status(_) => f.write_str("Status(…)"),
            Self::Delivery(_) => f.write_str("Delivery(…)"),
            Self::Refused { reason } => write!(f, "Refused({reason})"),
            Self::Unavailable { reason } => write!(f, "Unavailable({reason})"),
        }
    }
}

/// What one attempt may use.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct JobGrant {
    /// Sent as HTTP basic authentication to the clone URL's own host, nowhere else.
    #[serde(default)]
    pub clone: Option<CloneCredential>,
    /// Name and value of each secret asked for.
    #[serde(default)]
    pub secrets: Vec<(String, String)>,
    /// Names asked for that are not stored.
    #[serde(default)]
    pub missing_secrets: Vec<String>,
}

/// User and token of a clone.
#[derive(Clone, Serialize, Deserialize)]
pub struct CloneCredential {
    /// Such as `x-access-token`.
    pub user: String,
    /// Never in a URL, never visible to a job.
    pub token: String,
}

/// How to post one status.
#[derive(Clone, Serialize, Deserialize)]
pub struct StatusGrant {
    /// `github`, `gitea` or `gitlab`.
    pub forge: Stored<Forge>,
    /// The API's base address.
    pub api_url: String,
    /// From the registered URL, never from a payload.
    pub owner: String,
    /// From the registered URL, never from a payload.
    pub name: String,
    /// The job's page, with its key.
    pub target_url: String,
    /// The credential.
    pub token: String,
    /// Whether the token is a GitHub App installation's with the right `checks:write`: then a check
    /// run takes the status's place, never both.
    #[serde(default)]
    pub checks: bool,
}

/// How to post the status of a commit that has no job, and what it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeliveryGrant {
    /// How; the page is the one where it is approved.
    pub status: StatusGrant,
    /// Whether it still waits for an approval; else nobody can give one any more.
    pub waits: bool,
    /// A few words.
    pub description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_grant_of_an_older_gateway_means_no_check_runs() {
        let older = r#"{"kind":"status","forge":"github","api_url":"https://api.example/","owner":"o","name":"n","target_url":"https://faas.example/jobs/1","token":"t"}"#;
        let GrantReply::Status(grant) = serde_json::from_str(older).unwrap() else { panic!("not a status") };
        assert!(!grant.checks);
    }
}
