//! Live events of a job: its log as it comes, its state as it changes.
//!
//! The id of a `log` event is `<attempt>.<offset>`, the offset behind its last byte: a client that
//! comes back with it goes on there. The last lines come before the final state, and the stream
//! ends after it, or as soon as its reader may not see the job any more. No consumer is made on the server: the log is read when its subject stirs, and the
//! state when the index says so.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::Stream;
use http::HeaderMap;
use jobs::{
    Job,
    api::{self, FollowJob, LogEvent},
    bucket::Entry,
    log::{LogChunk, LogReader},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    api::responses::{BadRequest, NotFound, WithScope},
    auth::{access_watch::JobAccess, rights::ReadJob},
    error::ApiError,
    extract::Query,
    http::{client_ip, rate_limit::LimitKey},
    state::Gateway,
};

/// Record and log are looked at again after this long without news, in case some got lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Proxies close what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that wait for a slow client; then the reading of the log waits too.
const AHEAD: usize = 16;

type Sender = mpsc::Sender<Result<Event, Infallible>>;

/// Live log and state, as server-sent events `log` and `state`.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/events", tag = "api", operation_id = "followJob",
    params(("id" = String, Path, description = "The job."), ("Last-Event-ID" = Option<String>, Header, description = "`<attempt>.<offset>`: go on there."), ("from" = Option<String>, Query, description = "As Last-Event-ID.")),
    responses(
        (status = 200, description = "Ends after the final state.", body = String, content_type = "text/event-stream"),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = []), ("link" = [])),
)]
pub(crate) async fn events(
    ReadJob { entry, access, .. }: ReadJob,
    State(gateway): State<Gateway>,
    Query(params): Query<FollowJob>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let whose = match &access {
        JobAccess::Link => LimitKey::Address(gateway.limits.slot(client_ip::address())),
        JobAccess::Token { user, .. } => LimitKey::User(*user),
    };
    let open = gateway.limits.acquire_stream(whose)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // A page cannot send the header with its first request.
    let resumed = last.or(params.from.as_deref()).and_then(resume);
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let _open = open;
        let job = entry.value.clone();
        let telling = EventStream {
            gateway: &gateway,
            sender: &sender,
            log: None,
            held: IncompleteText::default(),
            from: resumed,
        };
        tokio::select! {
            told = telling.send_all(entry) => if let Err(error) = told {
                // The client comes back with Last-Event-ID.
                let error: anyhow::Error = error.into();
                tracing::debug!(error = format!("{error:#}"), "a live stream broke");
            },
            over = gateway.access.until_revoked(&access, &job) => {
                tracing::debug!(%over, "a live stream ended with its reader's rights");
            }
            () = sender.closed() => {}
            () = gateway.stop.cancelled() => {}
        }
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn resume(id: &str) -> Option<(u32, u64)> {
    let (attempt, offset) = id.split_once('.')?;
    Some((attempt.parse().ok()?, offset.parse().ok()?))
}

struct EventStream<'a> {
    gateway: &'a Gateway,
    sender: &'a Sender,
    log: Option<(u32, LogReader)>,
    held: IncompleteText,
    from: Option<(u32, u64)>,
}

impl EventStream<'_> {
    async fn send_all(mut self, mut entry: Entry<Job>) -> Result<(), ApiError> {
        let id = entry.value.spec.id;
        let mut news = self.gateway.index.follow(id);
        let mut told = None;
        loop {
            let is_final = entry.value.status.state.is_final();
            if !is_final && told != Some(entry.revision) {
                told = Some(entry.revision);
                self.state(&entry).await;
            }
            self.drain(&entry.value).await?;
            if is_final {
                self.flush().await;
                self.state(&entry).await;
                return Ok(());
            }
            let changed = {
                let stirred = async {
                    match &mut self.log {
                        Some((_, reader)) => reader.more().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = news.changed() => true,
                    () = stirred => false,
                    () = tokio::time::sleep(LOOK_AGAIN) => true,
                }
            };
            if changed {
                match self.gateway.job_records.record(id).await? {
                    Some(now) => entry = now,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Sends what is stored of the log of the attempt that the record names.
    async fn drain(&mut self, job: &Job) -> Result<(), ApiError> {
        if job.status.attempt == 0 {
            return Ok(());
        }
        if self.log.as_ref().is_none_or(|(attempt, _)| *attempt != job.status.attempt) {
            self.flush().await;
            self.log =
                Some((job.status.attempt, self.gateway.ledger.log(job.spec.id, job.status.attempt).await?));
        }
        let Some((attempt, reader)) = &mut self.log else { return Ok(()) };
        let attempt = *attempt;
        let skip = self.from.filter(|(of, _)| *of == attempt).map_or(0, |(_, offset)| offset);
        while let Some(chunk) = reader.next().await? {
            let Some(chunk) = after_offset(chunk, skip) else { continue };
            for piece in self.held.push(chunk) {
                send(self.sender, attempt, &piece).await;
            }
        }
        Ok(())
    }

    /// Sends the beginning of a character that never came to its end.
    async fn flush(&mut self) {
        if let (Some((attempt, _)), Some(piece)) = (&self.log, self.held.flush_rest()) {
            send(self.sender, *attempt, &piece).await;
        }
    }

    async fn state(&self, entry: &Entry<Job>) {
        let event = Event::default().event("state").json_data(api::Job::from(entry));
        let _ = self.sender.send(Ok(event.expect("a job is JSON"))).await;
    }
}

async fn send(sender: &Sender, attempt: u32, piece: &LogChunk) {
    let text = String::from_utf8_lossy(&piece.bytes);
    let log = LogEvent { offset: piece.offset, source: piece.source, phase: piece.phase, text };
    let end = piece.offset + piece.bytes.len() as u64;
    let event = Event::default().event("log").id(format!("{attempt}.{end}")).json_data(log);
    // A client that went away is noticed by `closed`.
    let _ = sender.send(Ok(event.expect("text and numbers are JSON"))).await;
}

/// The part of a chunk that lies behind `offset`; `None` when there is none.
fn after_offset(mut chunk: LogChunk, offset: u64) -> Option<LogChunk> {
    let known = offset.saturating_sub(chunk.offset).min(chunk.bytes.len() as u64);
    let known = usize::try_from(known).unwrap_or(usize::MAX);
    chunk.bytes = chunk.bytes.slice(known..);
    chunk.offset += known as u64;
    (!chunk.bytes.is_empty()).then_some(chunk)
}

/// Holds back the beginning of a character until its end comes.
#[derive(Default)]
struct IncompleteText(Option<LogChunk>);

impl IncompleteText {
    fn push(&mut self, mut chunk: LogChunk) -> Vec<LogChunk> {
        let mut ready = Vec::new();
        match self.0.take() {
            Some(held) if held.source == chunk.source && held.phase == chunk.phase => {
                chunk.bytes = [held.bytes, chunk.bytes].concat().into();
                chunk.offset = held.offset;
            }
            Some(held) => ready.push(held),
            None => {}
        }
        let cut = chunk.bytes.len() - unfinished(&chunk.bytes);
        if cut < chunk.bytes.len() {
            let bytes = chunk.bytes.split_off(cut);
            self.0 = Some(LogChunk { offset: chunk.offset + cut as u64, bytes, ..chunk.clone() });
        }
        if !chunk.bytes.is_empty() {
            ready.push(chunk);
        }
        ready
    }

    fn flush_rest(&mut self) -> Option<LogChunk> {
        self.0.take()
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let length = match bytes[bytes.len() - back] {
            0xf0..=0xf4 => 4,
            0xe0..=0xef => 3,
            0xc2..=0xdf => 2,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use jobs::{LogSource, Phase};
    use test_case::test_case;

    use super::*;

    fn chunk(offset: u64, bytes: &[u8]) -> LogChunk {
        LogChunk {
            offset,
            source: LogSource::Stdout,
            phase: Phase::Run,
            bytes: bytes.to_vec().into(),
            live_over: false,
        }
    }

    #[test_case(b"abc" => 0)]
    #[test_case("aé".as_bytes() => 0 ; "whole")]
    #[test_case(b"a\xc3" => 1 ; "one of two")]
    #[test_case(b"a\xe2\x82" => 2 ; "two of three")]
    #[test_case(b"\xf0\x9f\x8e" => 3 ; "three of four")]
    #[test_case(b"a\x82\x82\x82\x82" => 0 ; "nonsense")]
    #[test_case(b"" => 0 ; "empty")]
    fn bytes_of_an_unfinished_character(bytes: &[u8]) -> usize {
        unfinished(bytes)
    }

    #[test]
    fn a_character_is_not_split_and_no_byte_is_lost() {
        let mut held = IncompleteText::default();
        assert_eq!(held.push(chunk(0, b"a\xc3")), [chunk(0, b"a")]);
        assert_eq!(held.push(chunk(2, b"\xa9b")), [chunk(1, "éb".as_bytes())]);
        assert_eq!(held.push(chunk(4, b"\xc3")), []);
        let other = LogChunk { source: LogSource::Stderr, ..chunk(5, b"x") };
        assert_eq!(held.push(other.clone()), [chunk(4, b"\xc3"), other]);
        assert_eq!(held.flush_rest(), None);
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        assert_eq!(after_offset(chunk(0, b"abc"), 2), Some(chunk(2, b"c")));
        assert_eq!(after_offset(chunk(0, b"abc"), 3), None);
        assert_eq!(after_offset(chunk(3, b"abc"), 2), Some(chunk(3, b"abc")));
    }

    #[test_case("2.17" => Some((2, 17)))]
    #[test_case("" => None)]
    #[test_case("x.1" => None)]
    fn where_to_go_on(id: &str) -> Option<(u32, u64)> {
        resume(id)
    }
}
