//! API tokens of a user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::{
    RepoId, TokenId,
    accounts::{Scope, TokenRecord},
};

/// What a new token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What to call it in lists.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub name: String,
    /// What it may be used for; absent: all that the caller may, or `invoke` alone where `functions` are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// Of a token with scope `invoke` alone: ids of the repositories whose functions it may call, each of which the
    /// caller owns or views. Absent: all of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 32)]
    pub functions: Option<Vec<String>>,
    /// No longer than the token that asks is good for, and as long as that where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("90d"))]
    pub expires_in: Option<String>,
}

/// An API token; its text is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What its owner called it.
    pub name: String,
    /// What it may be used for.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<OpenEnum<Scope>>,
    /// The repositories whose functions it may call; absent of one that is not bound to any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<RepoId>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent of one that does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// Up to an hour before the last use; absent if it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_used_at: Option<Timestamp>,
    /// The token that made it, with which it ends; absent if a sign-in or an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub made_by: Option<TokenId>,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
}

impl From<&TokenRecord> for Token {
    /// Without its text, which is stored nowhere.
    fn from(record: &TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            scopes: record.scopes.iter().copied().map(OpenEnum::Known).collect(),
            functions: record.functions.clone(),
            created_at: record.made_at(),
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            made_by: record.made_by.last().copied(),
            token: None,
        }
    }
}
