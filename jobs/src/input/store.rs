//! The stream INPUTS: inputs stored, fetched and removed. Gateways store and remove; workers read.

use async_nats::jetstream::{
    self,
    context::PublishError,
    stream::{RawMessageErrorKind, Stream},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{Input, parts};
use crate::{JobId, UserId, record::JobInput, streams};

/// Messages under way at once: 2 MiB, so that a long input does not wait for each of its messages.
const AT_ONCE: usize = 4;

/// The stream of inputs.
#[derive(Debug, Clone)]
pub struct Inputs {
    js: jetstream::Context,
    stream: Stream<()>,
}

/// An input could not be stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// NATS did not answer, or refused.
    #[error("nats: input of {job}")]
    Nats {
        /// Whose.
        job: JobId,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not there any more.
    #[error("the input of {job} is not stored any more")]
    Gone {
        /// Whose.
        job: JobId,
    },
    /// What lies there is not what the record describes.
    #[error("the stored input of {job} is not the one that its record describes")]
    Damaged {
        /// Whose.
        job: JobId,
    },
}

/// Whose input lies in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredInput {
    /// Its owner.
    pub owner: UserId,
    /// Its job.
    pub job: JobId,
}

fn nats(job: JobId) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> InputError {
    move |source| InputError::Nats { job, source }
}

impl Inputs {
    pub(crate) fn new(js: &jetstream::Context, stream: Stream<()>) -> Self {
        Self { js: js.clone(), stream }
    }

    /// Stores an input, before the record of its job is written. Storing it again changes nothing.
    ///
    /// # Errors
    /// NATS is away or full; some of it may be stored then.
    pub async fn store(&self, owner: UserId, job: JobId, input: &Input) -> Result<(), InputError> {
        let messages = input.messages().into_iter().enumerate().map(|(n, message)| async move {
            self.js.publish(streams::input(owner, job, n as u64), message).await?.await?;
            Ok::<_, PublishError>(())
        });
        let stored = stream::iter(messages).buffer_unordered(AT_ONCE).try_collect::<()>().await;
        stored.map_err(|error| nats(job)(error.into()))
    }

    /// The input that `described` tells of.
    ///
    /// # Errors
    /// NATS is away, or the input is gone or another one.
    pub async fn fetch(&self, owner: UserId, job: JobId, described: &JobInput) -> Result<Input, InputError> {
        if !described.is_possible() {
            return Err(InputError::Damaged { job });
        }
        let messages = (0..described.messages()).map(|n| self.message(owner, job, n));
        let messages: Vec<Bytes> = stream::iter(messages).buffered(AT_ONCE).try_collect().await?;
        let joined = match <[Bytes; 1]>::try_from(messages) {
            Ok([whole]) => whole,
            Err(messages) => {
                let mut joined = BytesMut::with_capacity(messages.iter().map(Bytes::len).sum());
                messages.iter().for_each(|message| joined.extend_from_slice(message));
                joined.freeze()
            }
        };
        Input::read(&joined, described).ok_or(InputError::Damaged { job })
    }

    /// The first `bytes` bytes of the body, or all of a shorter one; without looking at its digest, which is that of
    /// the whole.
    ///
    /// # Errors
    /// NATS is away, or the input is gone or another one.
    pub async fn beginning(
        &self,
        owner: UserId,
        job: JobId,
        described: &JobInput,
        bytes: usize,
    ) -> Result<Bytes, InputError> {
        let first = self.message(owner, job, 0).await?;
        let (_, body) = parts(&first, described).ok_or(InputError::Damaged { job })?;
        Ok(body.slice(..body.len().min(bytes)))
    }

    async fn message(&self, owner: UserId, job: JobId, n: u64) -> Result<Bytes, InputError> {
        match self.stream.get_last_raw_message_by_subject(&streams::input(owner, job, n)).await {
            Ok(message) => Ok(message.payload),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                Err(InputError::Gone { job })
            }
            Err(error) => Err(nats(job)(error.into())),
        }
    }

    /// Removes the input of a job, if it has one, whoever it was charged to.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn remove(&self, job: JobId) -> Result<(), InputError> {
        let purged = self.stream.purge().filter(streams::inputs_of(job)).await;
        purged.map(drop).map_err(|error| nats(job)(error.into()))
    }

    /// Every input that lies there.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn stored(
        &self,
    ) -> Result<std::collections::BTreeSet<StoredInput>, Box<dyn std::error::Error + Send + Sync>> {
        let mut subjects = self.stream.info_with_subjects(format!("{}>", streams::INPUTS_PREFIX)).await?;
        let mut found = std::collections::BTreeSet::new();
        while let Some((subject, _)) = subjects.try_next().await? {
            found.extend(StoredInput::of_subject(&subject));
        }
        Ok(found)
    }

    /// When the first message of an input was stored, by the server's clock; `None` when it is gone.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn stored_at(&self, stored: StoredInput) -> Result<Option<Timestamp>, InputError> {
        let StoredInput { owner, job } = stored;
        // Of one that was stored in part another message may be the first.
        let subject = format!("{}{owner}.{job}.*", streams::INPUTS_PREFIX);
        match self.stream.get_first_raw_message_by_subject(&subject, 1).await {
            Ok(message) => Ok(Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok()),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(nats(job)(error.into())),
        }
    }
}

impl StoredInput {
    fn of_subject(subject: &str) -> Option<Self> {
        let mut words = subject.strip_prefix(streams::INPUTS_PREFIX)?.split('.');
        let (owner, job) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { owner, job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_owner_and_job() {
        let (owner, job) = (UserId::new(), JobId::new());
        let subject = streams::input(owner, job, 7);
        assert_eq!(StoredInput::of_subject(&subject), Some(StoredInput { owner, job }));
        assert_eq!(StoredInput::of_subject("inputs.x.y.0"), None);
    }
}
