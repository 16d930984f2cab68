//! Why a call is not made, and the status that says so.

use http::StatusCode;
use jobs::{JobId, bucket::BucketError};

use crate::{error::ApiError, functions::signature::BadSignature};

/// Seconds until a sender should ask again what became of its call.
const RETRY_AFTER_S: u64 = 5;

/// Why a call is not made.
///
/// An unknown function and somebody else's that only tokens open are refused alike: [`Refusal::Unauthorized`]
/// without a valid token, [`Refusal::NotFound`] with one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No valid token, and the function is not open to those who have none, or does not exist.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The token may not call functions at all; said whether or not the function exists.
    #[error("{0}")]
    Forbidden(String),
    /// The token may call functions, and not this one, or there is none.
    #[error("there is no such function")]
    NotFound,
    /// The call is signed, and not by whoever has one of the function's secrets.
    #[error("the signature is not valid: {0}")]
    Signature(BadSignature),
    /// Its owner has turned it off. Senders repeat what was answered with 503, so that nothing is lost meanwhile.
    #[error("this function is turned off by its owner")]
    TurnedOff,
    /// The same signed call is under way: asked again later, the sender is told what became of it.
    #[error("this call was received before and is being answered")]
    InProgress,
    /// The same signed call made this job, which ended well. Senders repeat what they got no answer to, and are told
    /// with 200 and no body that it is done; nothing runs, and nothing of the answer is shown.
    #[error("this call was received before; its job is {0}")]
    Replayed(JobId),
    /// Over a limit of rate or concurrency, or NATS is away.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Refusal {
    /// The status that it is answered with; `None` where the error has its own.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unauthorized(_) | Self::Signature(_) => Some(StatusCode::UNAUTHORIZED),
            Self::Forbidden(_) => Some(StatusCode::FORBIDDEN),
            Self::NotFound => Some(StatusCode::NOT_FOUND),
            Self::TurnedOff => Some(StatusCode::SERVICE_UNAVAILABLE),
            Self::InProgress => Some(StatusCode::CONFLICT),
            Self::Replayed(_) => Some(StatusCode::OK),
            Self::Api(_) => None,
        }
    }

    /// `Retry-After` in seconds, where the error has none of its own.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::InProgress => Some(RETRY_AFTER_S),
            Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound
            | Self::Signature(_)
            | Self::TurnedOff
            | Self::Replayed(_)
            | Self::Api(_) => None,
        }
    }
}

impl From<BucketError> for Refusal {
    fn from(error: BucketError) -> Self {
        Self::Api(error.into())
    }
}
