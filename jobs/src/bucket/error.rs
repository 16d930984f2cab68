//! Why a bucket could not be read or written.

/// Why a bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Somebody else wrote in between.
    #[error("{key} was changed in between")]
    Conflict {
        /// The key.
        key: String,
    },
    /// A later version of gitfaas wrote this; it is left alone.
    #[error("{key} was written by a newer version of gitfaas")]
    Newer {
        /// The key.
        key: String,
    },
    /// The stored bytes are not what we write.
    #[error("{key} cannot be understood")]
    Malformed {
        /// The key.
        key: String,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// The bucket is at its size limit.
    #[error("the bucket {bucket} is full")]
    Full {
        /// The bucket.
        bucket: String,
    },
    /// NATS did not answer, or refused.
    #[error("nats: {doing}")]
    Nats {
        /// What was tried.
        doing: String,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BucketError {
    /// Whether this is [`BucketError::Conflict`].
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

pub(crate) fn nats(doing: String, source: impl std::error::Error + Send + Sync + 'static) -> BucketError {
    BucketError::Nats { doing, source: Box::new(source) }
}
