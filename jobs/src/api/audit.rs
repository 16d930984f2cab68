//! The audit log, as admins read it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::OpenEnum;
use crate::{
    UserId,
    audit::{Action, By},
};

/// Which entries of the audit log are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListAudit {
    /// Items of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only of this log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<AuditLog>,
    /// Only this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Only of this user: an id or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only of this target, or of targets that begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Which of the two audit logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditLog {
    /// That of users.
    Users,
    /// That of admins.
    Admins,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Also the cursor; of the log of admins it begins with `a`.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// The user's address, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// What was done; more may come.
    #[schema(value_type = Action)]
    pub action: OpenEnum<Action>,
    /// From where, as far as the gateway can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// By what right: `"operator"`, `"forge"`, `{"token": id}` or `{"session": id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<By>, nullable = false)]
    pub by: Option<OpenEnum<By>>,
    /// A few words more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// To what: an id, or a name of the service's own.
    #[serde(default)]
    pub target: String,
    /// The user; absent for an operator's command and a forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<UserId>,
    /// What a newer gateway wrote.
    #[serde(flatten)]
    #[schema(ignore)]
    pub other: Map<String, Value>,
}
