//! The kinds of forges.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which kind of forge a repository is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Forge {
    /// GitHub and GitHub Enterprise Server.
    Github,
    /// Gitea and Forgejo.
    Gitea,
    /// GitLab.
    Gitlab,
    /// A plain git server with the `post-receive` hook of `gitfaas hook`.
    Plain,
}
