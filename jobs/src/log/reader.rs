//! The reading end: what is stored first, then what comes, without a consumer on the server.

use async_nats::{
    Client, Subscriber,
    jetstream::{
        message::StreamMessage,
        stream::{RawMessageErrorKind, Stream},
    },
};
use futures_util::StreamExt as _;

use super::{LIVE_OVER, LogChunk, OFFSET, PHASE, SOURCE};
use crate::{JobId, LogSource, Phase, reconnected, streams};

/// NATS did not answer.
#[derive(Debug, thiserror::Error)]
#[error("nats: log of {job}")]
pub struct LogError {
    job: JobId,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reads the log of one attempt in order.
#[derive(Debug)]
pub struct LogReader {
    client: Client,
    stream: Stream<()>,
    job: JobId,
    subject: String,
    sequence: u64,
    news: Subscriber,
}

impl LogReader {
    /// Begins at the start. What is published from here on wakes [`LogReader::more`].
    ///
    /// # Errors
    /// NATS is away.
    pub(crate) async fn open(
        client: &Client,
        stream: Stream<()>,
        job: JobId,
        attempt: u32,
    ) -> Result<Self, LogError> {
        let subject = streams::log(job, attempt);
        let news = client
            .subscribe(subject.clone())
            .await
            .map_err(|error| LogError { job, source: Box::new(error) })?;
        Ok(Self { client: client.clone(), stream, job, subject, sequence: 1, news })
    }

    /// The next stored chunk, or `None` when there is none now.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn next(&mut self) -> Result<Option<LogChunk>, LogError> {
        match self.stream.get_first_raw_message_by_subject(&self.subject, self.sequence).await {
            Ok(message) => {
                self.sequence = message.sequence + 1;
                Ok(Some(chunk(message)))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(LogError { job: self.job, source: Box::new(error) }),
        }
    }

    /// Waits until something was published, or may have been while the connection was away. To be raced
    /// with the job's state and with a timer.
    pub async fn more(&mut self) {
        tokio::select! {
            news = self.news.next() => if news.is_none() {
                std::future::pending::<()>().await;
            },
            () = reconnected(&self.client) => {}
        }
    }
}

fn chunk(message: StreamMessage) -> LogChunk {
    let header = |name| message.headers.get(name).map(|value| value.as_str());
    LogChunk {
        offset: header(OFFSET).and_then(|text| text.parse().ok()).unwrap_or(0),
        source: header(SOURCE).and_then(LogSource::from_wire).unwrap_or(LogSource::Gitfaas),
        phase: header(PHASE).and_then(Phase::from_wire).unwrap_or(Phase::Run),
        live_over: header(LIVE_OVER).is_some(),
        bytes: message.payload,
    }
}
