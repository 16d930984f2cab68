//! Sign-in of a program with a code (RFC 8628).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;

/// What to show, and how often to ask (RFC 8628, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCode {
    /// What the program asks with.
    pub device_code: String,
    /// In seconds.
    #[serde(default)]
    #[schema(required)]
    pub expires_in: i64,
    /// In seconds.
    #[serde(default = "interval")]
    #[schema(required)]
    pub interval: u64,
    /// What is entered at the address.
    pub user_code: String,
    /// Where it is entered.
    pub verification_uri: String,
    /// The same with the code in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub verification_uri_complete: Option<String>,
}

/// Where the service does not say (RFC 8628, section 3.2).
fn interval() -> u64 {
    5
}

/// Asks for the tokens of a device code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// The one kind of grant.
    pub grant_type: GrantType,
    /// From the answer to the first request.
    pub device_code: String,
}

/// Kinds of grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum GrantType {
    /// RFC 8628, section 3.4.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
}

/// The tokens of a device code that was allowed (RFC 6749, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceToken {
    /// A bearer token (JWT).
    pub access_token: String,
    /// In seconds.
    pub expires_in: i64,
    /// Good once, for the next token.
    pub refresh_token: String,
    /// Scopes, separated by spaces.
    #[serde(default)]
    #[schema(required)]
    pub scope: String,
    /// How the token is used.
    #[serde(default)]
    #[schema(required)]
    pub token_type: TokenType,
}

/// How a token is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum TokenType {
    /// In `Authorization: Bearer`.
    #[default]
    Bearer,
}

/// Why no token is given (RFC 6749, section 5.2; RFC 8628, section 3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceError {
    /// What programs recognize it by.
    #[schema(value_type = DeviceErrorCode)]
    pub error: OpenEnum<DeviceErrorCode>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_description: Option<String>,
}

/// What programs recognize it by that no token is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceErrorCode {
    /// The code was neither allowed nor denied yet.
    AuthorizationPending,
    /// The program asks too often.
    SlowDown,
    /// The code has expired.
    ExpiredToken,
    /// The code was denied.
    AccessDenied,
    /// The tokens of the code were fetched before.
    InvalidGrant,
    /// The code is missing.
    InvalidRequest,
    /// Another kind of grant.
    UnsupportedGrantType,
}
