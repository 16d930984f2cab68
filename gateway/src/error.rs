//! Why a request is not answered as asked: one enum, two shapes.
//!
//! `/api/v1` says `{"error": {"code", "message"}}`. The published API answers `{"message"}` to
//! unauthenticated callers, and `{"error"}` otherwise. Internal causes are logged here, once, and never
//! part of an answer.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jobs::{
    LedgerError,
    api::{self, ErrorCode, ErrorDetail, published},
    bucket::BucketError,
    input::InputError,
    log::LogError,
    result::ResultError,
};

/// `Retry-After` in seconds: a leader election is over then.
const RETRY_AFTER_S: u64 = 5;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No credential, or an invalid one.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// Authenticated, and not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// It does not exist, or the caller may not see it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The request is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// The current state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// It is asked for a version that is not built.
    #[error("{0}")]
    NotBuilt(String),
    /// An idempotency key came again with another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// The forge takes a token neither for the webhook nor for statuses.
    #[error("the forge refuses the token for the webhook and for statuses: {0}")]
    TokenRefused(String),
    /// The range lies outside.
    #[error("the range lies outside the {0} bytes there are")]
    Range(u64),
    /// The body is too long.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// A job's input is longer than it may be.
    #[error("the input is larger than {0} bytes")]
    InputTooLarge(u64),
    /// Over a limit of the caller's.
    #[error("{0}")]
    TooMany(String),
    /// Too many requests in a short time; how many seconds to wait.
    #[error("too many requests; try again in {0} s")]
    TooFast(u64),
    /// The body did not come in time.
    #[error("the body did not come within {0} s")]
    TooSlow(u64),
    /// The path is there, the method is not.
    #[error("not with {0}")]
    NoSuchMethod(http::Method),
    /// NATS did not answer, or is full.
    #[error("the service cannot store or read anything at the moment; try again")]
    Unavailable(#[source] anyhow::Error),
    /// An identity provider did not answer, or not as it should; the message names it.
    #[error("{0}")]
    BadGateway(String, #[source] anyhow::Error),
    /// Not configured.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A bug, or data that should not exist.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, ErrorCode::Forbidden),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
            Self::Conflict(_) => (StatusCode::CONFLICT, ErrorCode::Conflict),
            Self::NotBuilt(_) => (StatusCode::CONFLICT, ErrorCode::NotBuilt),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::IdempotencyKeyReused),
            Self::TokenRefused(_) => (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::TokenRefused),
            Self::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeNotSatisfiable),
            Self::TooLarge(_) | Self::InputTooLarge(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge)
            }
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooMany),
            Self::TooFast(_) => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooFast),
            Self::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow),
            Self::NoSuchMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            Self::BadGateway(..) => (StatusCode::BAD_GATEWAY, ErrorCode::BadGateway),
            Self::NotConfigured(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::NotConfigured),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        }
    }

    /// Logs what needs the operator; the one place where that happens.
    fn log(&self) {
        match self {
            Self::Internal(cause) => tracing::error!(error = format!("{cause:#}"), "request failed"),
            Self::Unavailable(cause) => tracing::warn!(error = format!("{cause:#}"), "nats unavailable"),
            Self::BadGateway(_, cause) => {
                tracing::warn!(error = format!("{cause:#}"), "identity provider failed");
            }
            Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::BadRequest(_)
            | Self::Conflict(_)
            | Self::NotBuilt(_)
            | Self::KeyReused
            | Self::TokenRefused(_)
            | Self::Range(_)
            | Self::TooLarge(_)
            | Self::InputTooLarge(_)
            | Self::TooMany(_)
            | Self::TooFast(_)
            | Self::TooSlow(_)
            | Self::NoSuchMethod(_)
            | Self::NotConfigured(_) => {}
        }
    }

    /// Adds the headers that belong to the status.
    fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Unavailable(_) | Self::TooMany(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
            }
            Self::TooFast(seconds) => {
                headers.insert(header::RETRY_AFTER, (*seconds).into());
            }
            Self::Range(bytes) => {
                let range = format!("bytes */{bytes}").parse().expect("digits are a header");
                headers.insert(header::CONTENT_RANGE, range);
            }
            Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::BadRequest(_)
            | Self::Conflict(_)
            | Self::NotBuilt(_)
            | Self::KeyReused
            | Self::TokenRefused(_)
            | Self::TooLarge(_)
            | Self::InputTooLarge(_)
            | Self::TooSlow(_)
            | Self::NoSuchMethod(_)
            | Self::BadGateway(..)
            | Self::NotConfigured(_)
            | Self::Internal(_) => {}
        }
    }

    /// The status and message, for pages.
    pub(crate) fn into_page(self) -> (StatusCode, String) {
        self.log();
        (self.status_and_code().0, self.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let (status, code) = self.status_and_code();
        let body = api::Error { error: ErrorDetail { code: code.into(), message: self.to_string() } };
        let mut response = (status, Json(body)).into_response();
        self.add_headers(&mut response);
        response
    }
}

/// The same error in the shape of the published API.
#[derive(Debug)]
pub(crate) struct Published(pub(crate) ApiError);

impl<E: Into<ApiError>> From<E> for Published {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Published {
    fn into_response(self) -> Response {
        self.0.log();
        let (status, _) = self.0.status_and_code();
        let sentence = Some(self.0.to_string());
        let body = match self.0 {
            ApiError::Unauthorized(_) | ApiError::NotConfigured(_) => {
                published::Error { error: None, message: sentence }
            }
            _ => published::Error { error: sentence, message: None },
        };
        let mut response = (status, Json(body)).into_response();
        self.0.add_headers(&mut response);
        response
    }
}

impl From<BucketError> for ApiError {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::Conflict { .. } => Self::Conflict("it was changed in between; try again".to_owned()),
            BucketError::Malformed { .. } => Self::Internal(error.into()),
            BucketError::Newer { .. } | BucketError::Full { .. } | BucketError::Nats { .. } => {
                Self::Unavailable(error.into())
            }
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Bucket(error) => error.into(),
            LedgerError::Nats { .. } => Self::Unavailable(error.into()),
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<ResultError> for ApiError {
    fn from(error: ResultError) -> Self {
        match error {
            ResultError::Nats { .. } => Self::Unavailable(error.into()),
            ResultError::Damaged { .. } => Self::Internal(error.into()),
        }
    }
}

impl From<InputError> for ApiError {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Nats { .. } => Self::Unavailable(error.into()),
            InputError::Gone { .. } | InputError::Damaged { .. } => Self::Internal(error.into()),
        }
    }
}
