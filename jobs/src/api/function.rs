//! Functions that a caller may call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::RepoId;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Function {
    /// The name that it is called by.
    pub name: String,
    /// The id of its repository.
    pub repo: RepoId,
    /// The clone URL, without credentials.
    pub url: String,
    /// By what right the caller sees it.
    #[schema(value_type = FunctionRole)]
    pub role: OpenEnum<FunctionRole>,
}

/// By what right a caller sees a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FunctionRole {
    /// As the owner of its repository.
    Owner,
    /// As one of its viewers.
    Viewer,
    /// As an admin.
    Admin,
}
