//! Why a request is not answered as asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Error {
    /// The error.
    pub error: ErrorDetail,
}

/// An error: a code for programs, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// What programs recognize it by.
    #[schema(value_type = ErrorCode)]
    pub code: OpenEnum<ErrorCode>,
    /// One sentence.
    pub message: String,
}

/// What programs recognize an error by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 401: no token, or one that is not valid.
    Unauthorized,
    /// 403: not allowed.
    Forbidden,
    /// 404: there is none, or the caller may not know of it.
    NotFound,
    /// 400: the request is wrong.
    BadRequest,
    /// 409: the state of the thing does not allow it.
    Conflict,
    /// 409: the version is not built.
    NotBuilt,
    /// 422: an idempotency key came again with another request.
    IdempotencyKeyReused,
    /// 422: the forge accepts the token neither for the webhook nor for statuses.
    TokenRefused,
    /// 416: the range lies outside.
    RangeNotSatisfiable,
    /// 413: the body is too long.
    TooLarge,
    /// 429: over a limit of the owner's.
    TooMany,
    /// 429: too many requests in a short time.
    TooFast,
    /// 408: the body did not come in time.
    TooSlow,
    /// 405: the path does not take this method.
    MethodNotAllowed,
    /// 503: nothing can be stored or read at the moment.
    Unavailable,
    /// 502: an identity provider did not answer as it should.
    BadGateway,
    /// 503: not configured.
    NotConfigured,
    /// 500: a defect of the service.
    Internal,
}
