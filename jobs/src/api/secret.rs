//! Secrets of a repository: everything but their values.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::OpenEnum;
use crate::SecretEvent;

/// A secret as it is shown: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// The name of the variable.
    pub name: String,
    /// Which jobs get it.
    #[schema(value_type = Vec<SecretEvent>)]
    pub events: Vec<OpenEnum<SecretEvent>>,
    /// When its value was set last.
    pub updated_at: Timestamp,
}

/// How a secret is stored; the body of the request is its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SetSecret {
    /// Which jobs get it: `push`, `tag`, `pull_request` or `call`, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
}
