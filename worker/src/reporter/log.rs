//! What a check run shows of a job's log.

use std::time::Duration;

use hooks::checks::Annotation;
use jobs::{Job, Ledger, LogSource, log::LogError};

use super::{
    annotations,
    text::{fenced, plain, tail},
};

/// Shown of a log's end, in bytes: fenced, at most GitHub's 65,535.
const TAIL_BYTES: usize = 50 * 1024;
/// A log is 2 MiB at most, but may lie there in many small pieces.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log, as far as a check run shows it.
#[derive(Debug, Clone)]
pub(super) struct LogView {
    /// Its end, in Markdown; absent when nothing was written.
    pub(super) text: Option<String>,
    /// Annotations found in it.
    pub(super) annotations: Vec<Annotation>,
}

impl LogView {
    /// Reads the log of the attempt that the record names.
    pub(super) async fn read(ledger: &Ledger, job: &Job) -> Result<Self, LogError> {
        let mut log = Collected::default();
        if job.status.attempt > 0 {
            let mut reader = ledger.log(job.spec.id, job.status.attempt).await?;
            let reading = async {
                while let Some(chunk) = reader.next().await? {
                    log.add(chunk.source, &chunk.bytes);
                }
                Ok(())
            };
            match tokio::time::timeout(PATIENCE, reading).await {
                Ok(read) => read?,
                // Its beginning is better than none.
                Err(_) => tracing::warn!(job.id = %job.spec.id, "a log took too long to read"),
            }
        }
        Ok(log.view())
    }
}

#[derive(Debug, Default)]
struct Collected {
    all: Vec<u8>,
    /// Apart, because a traceback in one is not to be torn by the other.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Collected {
    fn add(&mut self, source: LogSource, bytes: &[u8]) {
        self.all.extend_from_slice(bytes);
        match source {
            LogSource::Stdout => self.stdout.extend_from_slice(bytes),
            LogSource::Stderr => self.stderr.extend_from_slice(bytes),
            // Our own lines are about the job, not about its files.
            LogSource::Gitfaas => {}
        }
    }

    fn view(&self) -> LogView {
        // Cut before it is made text, with room for what that leaves out.
        let end = &self.all[self.all.len().saturating_sub(4 * TAIL_BYTES)..];
        let end = String::from_utf8_lossy(end);
        let end = plain(&end);
        let shown = tail(&end, TAIL_BYTES);
        let outputs = [&self.stderr, &self.stdout].map(|output| String::from_utf8_lossy(output));
        LogView {
            text: (!shown.trim().is_empty()).then(|| fenced(shown)),
            annotations: annotations::of(outputs.iter().map(AsRef::as_ref)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_are_shown_together_and_read_apart() {
        let mut log = Collected::default();
        log.add(LogSource::Stderr, b"Traceback (most recent call last):\n  File \"/work/m.py\", line 3\n");
        log.add(LogSource::Stdout, b"between\n");
        log.add(LogSource::Stderr, b"ValueError: no\n");
        log.add(LogSource::Gitfaas, b"a.c:1: error: ours\n");
        let view = log.view();
        assert_eq!(view.annotations.len(), 1);
        assert_eq!((view.annotations[0].path.as_str(), view.annotations[0].start_line), ("m.py", 3));
        assert!(view.text.unwrap().contains("line 3\nbetween\nValueError: no\na.c:1: error: ours\n```"));
    }

    #[test]
    fn whatever_was_written_its_end_fits() {
        for odd in [&b"`"[..], b"\xff", "é".as_bytes(), b"\x1b[31m`\r", b"x"] {
            let mut log = Collected::default();
            log.add(LogSource::Stdout, &odd.repeat((2 << 20) / odd.len()));
            assert!(log.view().text.unwrap().len() <= 65_535);
        }
        assert_eq!(Collected::default().view().text, None);
    }
}
