//! The events that forges deliver, the same for every forge.
//!
//! [`Incoming`] is a wire format: the records of deliveries keep it. Fields are added with a default, never
//! changed or reused. Payloads of forges are turned into it elsewhere.

mod check;
mod installation;
mod pull_request;
mod push;
mod repository;

use serde::{Deserialize, Serialize};

pub use check::Rerequested;
pub use installation::{
    Account, Installation, InstallationAction, InstallationRepositories, InstalledRepository,
};
pub use pull_request::{PullRequest, PullRequestAction};
pub use push::Push;
pub use repository::Repository;

/// The event of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "what", rename_all = "snake_case")]
pub enum Incoming {
    /// A branch or tag was made, moved or removed.
    Push(Push),
    /// The forge tests the webhook.
    Ping,
    /// A pull request has new commits, or was closed.
    PullRequest(PullRequest),
    /// A re-run of a check was requested.
    Rerequested(Rerequested),
    /// The App was installed, removed or suspended.
    Installation(Installation),
    /// The App's installation gained or lost repositories.
    InstallationRepositories(InstallationRepositories),
    /// Understood, and without effect. The record keeps the reason.
    Ignored(String),
}
