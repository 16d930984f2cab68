//! Sign-ins: the tokens that they yield, and who is signed in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::{Label, UserId, accounts::Scope};

/// A bearer token, and what renews it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// A bearer token (JWT).
    pub token: String,
    /// Good once, for the next token.
    pub refresh_token: String,
    /// In seconds.
    pub expires_in: i64,
}

/// The session that is renewed or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// From the last answer.
    pub refresh_token: String,
}

/// Whose token asks, and what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The user.
    pub id: UserId,
    /// The user's address.
    pub email: String,
    /// Whether the user is an admin.
    pub admin: bool,
    /// What the user may use besides `default`; an admin needs none.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Of the token.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<OpenEnum<Scope>>,
}
