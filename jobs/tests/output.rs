//! Logs and results against a real server.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use jobs::{
    JobId, JobResult, LogSource, Phase,
    log::{HEAD_BYTES, LogChunk, LogWriter, TAIL_BYTES},
    result::INLINE_BYTES,
};
use support::Nats;

const PATIENCE: Duration = Duration::from_secs(20);

async fn all(ledger: &jobs::Ledger, job: JobId) -> Vec<LogChunk> {
    let mut reader = ledger.log(job, 1).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

#[tokio::test]
async fn a_short_log_reads_back_in_order_with_its_sources() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let job = JobId::new();
    let writer = LogWriter::start(ledger.js.clone(), job, 1);
    let log = writer.handle();
    log.note(Phase::Checkout, "fetching");
    log.write(Phase::Run, LogSource::Stdout, "out\n".into());
    log.write(Phase::Run, LogSource::Stderr, "err\n".into());
    assert!(writer.close(PATIENCE).await);

    let read: Vec<_> =
        all(&ledger, job).await.into_iter().map(|chunk| (chunk.offset, chunk.source, chunk.bytes)).collect();
    assert_eq!(
        read,
        [
            (0, LogSource::Gitfaas, "fetching\n".into()),
            (9, LogSource::Stdout, "out\n".into()),
            (13, LogSource::Stderr, "err\n".into())
        ]
    );
}

#[tokio::test]
async fn a_long_log_keeps_head_and_tail_with_the_exact_number_between() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let job = JobId::new();
    let writer = LogWriter::start(ledger.js.clone(), job, 1);
    let line = vec![b'x'; 100_000];
    for _ in 0..30 {
        writer.handle().write(Phase::Run, LogSource::Stdout, line.clone().into());
    }
    assert!(writer.close(PATIENCE).await);

    let chunks = all(&ledger, job).await;
    assert!(chunks.iter().any(|chunk| chunk.live_over), "followers are told that the live part is over");
    let output: usize =
        chunks.iter().filter(|chunk| chunk.source == LogSource::Stdout).map(|chunk| chunk.bytes.len()).sum();
    assert_eq!(output, HEAD_BYTES + TAIL_BYTES);
    let note =
        chunks.iter().find(|chunk| chunk.source == LogSource::Gitfaas && !chunk.bytes.is_empty()).unwrap();
    assert_eq!(note.bytes, format!("\n[{} bytes left out]\n", 3_000_000 - HEAD_BYTES - TAIL_BYTES));
    let mut end = 0;
    for chunk in &chunks {
        assert_eq!(chunk.offset, end, "offsets count kept bytes without a gap");
        end += chunk.bytes.len() as u64;
    }
}

#[tokio::test]
async fn a_follower_is_woken_by_what_comes_later() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let job = JobId::new();
    let mut reader = ledger.log(job, 1).await.unwrap();
    assert_eq!(reader.next().await.unwrap(), None);
    let writer = LogWriter::start(ledger.js.clone(), job, 1);
    writer.handle().write(Phase::Run, LogSource::Stdout, "late".into());
    tokio::time::timeout(PATIENCE, reader.more()).await.unwrap();
    assert!(writer.close(PATIENCE).await);
    assert_eq!(reader.next().await.unwrap().unwrap().bytes, "late");
}

#[tokio::test]
async fn a_long_result_is_fetched_whole_and_a_damaged_one_is_not_shown() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let job = JobId::new();
    let bytes: Vec<u8> = (0..INLINE_BYTES * 40).map(|n| (n % 251) as u8).collect();
    ledger.results.store(job, 1, &bytes).await.unwrap();
    let described = JobResult::of(&bytes, 0);
    assert_eq!(ledger.results.fetch(job, 1, &described).await.unwrap(), bytes);
    ledger.results.store(job, 1, &bytes[1..]).await.unwrap();
    assert!(ledger.results.fetch(job, 1, &described).await.is_err());
}
