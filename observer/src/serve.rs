//! Watches job records, counts them, and publishes the statistics.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::{
    Client,
    jetstream::{
        self,
        stream::{RawMessageErrorKind, Stream},
    },
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jobs::{
    Job,
    bucket::{Bucket, Watch, from_watch},
    streams,
};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    clock::ServerClock,
    http,
    metrics::Metrics,
    snapshots::{Records, Snapshots},
    statistics::{JobCounter, minute},
};

/// `now` is written at most this often, so that a thousand jobs a second are not a thousand writes.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// After an error the records are followed again this much later; a leader election takes about as long.
const PAUSE: Duration = Duration::from_secs(1);
/// Averages fall while nothing happens, so they are written anew at this interval; also how often a
/// snapshot may be due.
const REFRESH_EVERY: Duration = Duration::from_secs(60);

/// Counts until `stop`. Without a `listener` one is bound at [`Config::listen`].
///
/// # Errors
/// The address cannot be bound; NATS that goes away later is waited for.
pub async fn serve(
    config: Config,
    client: Client,
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = match listener {
        Some(listener) => listener,
        None => TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?,
    };
    let metrics = Arc::new(Metrics::new());
    let answering = tokio::spawn(http::serve(listener, Arc::clone(&metrics), stop.clone()));
    let js = jobs::connect::jetstream(&client);
    stop.run_until_cancelled(count(js, metrics)).await;
    answering.await.context("the observer's HTTP server ended")??;
    Ok(())
}

/// Counts for ever. What was counted outlives an error: the records are then followed from where
/// the count stands.
async fn count(js: jetstream::Context, metrics: Arc<Metrics>) {
    let mut observer = loop {
        match Observer::begin(&js, Arc::clone(&metrics)).await {
            Ok(observer) => break observer,
            // The streams are made by a gateway, which may start after us.
            Err(error) => tracing::debug!(error = format_args!("{error:#}"), "job records not available yet"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    loop {
        if let Err(error) = observer.follow().await {
            tracing::warn!(error = format_args!("{error:#}"), "watch of job records failed");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Observer {
    jobs: Bucket<Job>,
    stream: Stream<()>,
    records: Records,
    snapshots: Snapshots,
    metrics: Arc<Metrics>,
    counter: JobCounter,
    clock: Option<ServerClock>,
    /// Something changed since `now` was written.
    changed: bool,
    published: Instant,
    /// The minute of the last snapshot, ours or one that was there.
    minute: i64,
}

impl Observer {
    /// Takes up the newest snapshot, or begins at the first record.
    async fn begin(js: &jetstream::Context, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let name = format!("KV_{}", streams::JOBS_BUCKET);
        let info = js.get_stream(&name).await.context("look for the records")?.cached_info().clone();
        let made_at = Timestamp::from_nanosecond(info.created.unix_timestamp_nanos())?;
        let records = Records { made_at, last_sequence: info.state.last_sequence };
        let snapshots = Snapshots::open(js).await?;
        let newest = snapshots.newest(records).await?;
        let (counter, clock) = match newest {
            Some((snapshot, written_at)) => {
                (JobCounter::resume(snapshot), Some(ServerClock::new(written_at)))
            }
            None => (JobCounter::default(), None),
        };
        metrics.resume(counter.totals());
        tracing::info!(sequence = counter.position(), jobs = counter.totals().requests, "statistics started");
        Ok(Self {
            jobs: Bucket::open(js, streams::JOBS_BUCKET).await?,
            stream: js.get_stream_no_info(&name).await?,
            records,
            snapshots,
            metrics,
            counter,
            clock,
            changed: true,
            published: Instant::now() - PUBLISH_EVERY,
            minute: i64::MIN,
        })
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut watch: Watch = self.jobs.watch(self.counter.position() + 1).await?;
        loop {
            let due = self.published + if self.changed { PUBLISH_EVERY } else { REFRESH_EVERY };
            tokio::select! {
                entry = watch.next() => {
                    let entry = entry.context("the watch ended")??;
                    self.read(&entry);
                }
                () = tokio::time::sleep_until(due) => {
                    // Records are read on meanwhile, so that the next attempt says what is true then.
                    if let Err(error) = self.publish().await {
                        tracing::warn!(error = format_args!("{error:#}"), "statistics not published");
                    }
                    self.published = Instant::now();
                }
            }
        }
    }

    fn read(&mut self, entry: &jetstream::kv::Entry) {
        self.changed = true;
        match from_watch::<Job>(entry) {
            Ok(Some(entry)) => {
                match &mut self.clock {
                    Some(clock) => clock.advance(entry.written_at),
                    None => self.clock = Some(ServerClock::new(entry.written_at)),
                }
                let change = self.counter.apply(&entry);
                self.metrics.count(change, &entry.value);
            }
            Ok(None) => self.counter.pass(entry.revision, entry.key.parse().ok()),
            Err(error) => {
                tracing::warn!(error = format_args!("{error:#}"), "job record not readable");
                self.counter.pass(entry.revision, None);
            }
        }
    }

    /// Writes `now`, and once a minute a snapshot, unless this observer still lags behind: then
    /// its numbers would overwrite better ones of another.
    async fn publish(&mut self) -> anyhow::Result<()> {
        self.metrics.show_open(&self.counter);
        let has_caught_up = self.has_caught_up().await?;
        if !has_caught_up && !self.metrics.is_ready() {
            return Ok(());
        }
        let known = self.clock.map_or(Timestamp::UNIX_EPOCH, |clock| clock.now());
        let statistics = self.counter.totals().statistics(known, self.counter.position());
        let written = self.snapshots.publish(&statistics).await?;
        // What we knew of the time was older, as after a start: say it again.
        self.changed = written.is_some_and(|at| at.duration_since(known).unsigned_abs() > PUBLISH_EVERY * 2);
        if let Some(written_at) = written {
            match &mut self.clock {
                Some(clock) => clock.advance(written_at),
                None => self.clock = Some(ServerClock::new(written_at)),
            }
        }
        self.metrics.set_ready();
        let now = self.clock.map_or(known, |clock| clock.now());
        if has_caught_up && minute(now) > self.minute {
            self.snapshots.write(self.counter.snapshot(), self.records, now).await?;
            self.minute = minute(now);
        }
        Ok(())
    }

    /// Whether every change that the stream holds was read. What it answers is true of one moment,
    /// and of the count as it stands, because nothing is read meanwhile.
    async fn has_caught_up(&self) -> anyhow::Result<bool> {
        let subject = format!("$KV.{}.>", streams::JOBS_BUCKET);
        match self.stream.get_first_raw_message_by_subject(&subject, self.counter.position() + 1).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
            Err(error) => Err(error).context("look for unread records"),
        }
    }
}
