//! Collects what the containers of one attempt write: into the log as it comes, and into result and
//! error output.
//!
//! Secrets are hidden here, before anything else sees a byte. Each source of each phase is a stream
//! of its own, so that a secret in one is found whatever another writes in between.

use std::sync::Arc;

use bytes::Bytes;
use jobs::{LogSource, Phase};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    mask::{Mask, MaskedStream},
    output::{CapturedOutput, ErrorTail, LogSink, ResultCapture},
    sandbox::Chunk,
};

/// Chunks between the container and the log; more would only be memory.
const OUTPUT_QUEUE: usize = 64;

/// What the containers of one attempt write to.
#[derive(Debug)]
pub struct OutputCollector {
    /// To be given to them.
    pub sender: mpsc::Sender<Chunk>,
    collecting: JoinHandle<(CapturedOutput, Option<String>)>,
}

struct Collector {
    log: Arc<dyn LogSink>,
    mask: Mask,
    streams: Vec<((Phase, LogSource), MaskedStream)>,
    result: ResultCapture,
    errors: ErrorTail,
}

impl OutputCollector {
    /// Collects until the last sender is gone.
    pub fn start(log: Arc<dyn LogSink>, max_result_bytes: u64, mask: Mask) -> Self {
        let (sender, mut receiver) = mpsc::channel(OUTPUT_QUEUE);
        let result = ResultCapture::new(max_result_bytes);
        let mut collector =
            Collector { log, mask, streams: Vec::new(), result, errors: ErrorTail::default() };
        let collecting = tokio::spawn(async move {
            while let Some(chunk) = receiver.recv().await {
                collector.take(chunk);
            }
            collector.finish()
        });
        Self { sender, collecting }
    }

    /// Result and error output, once everything that was written has been taken.
    pub async fn finish(self) -> (CapturedOutput, Option<String>) {
        drop(self.sender);
        self.collecting.await.unwrap_or((CapturedOutput { bytes: Vec::new(), omitted_bytes: 0 }, None))
    }
}

impl Collector {
    fn take(&mut self, Chunk { phase, source, bytes }: Chunk) {
        let known = self.streams.iter().position(|(of, _)| *of == (phase, source));
        let index = known.unwrap_or_else(|| {
            self.streams.push(((phase, source), self.mask.stream()));
            self.streams.len() - 1
        });
        let masked = self.streams[index].1.push(bytes);
        self.keep(phase, source, masked);
    }

    fn keep(&mut self, phase: Phase, source: LogSource, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        match (phase, source) {
            (Phase::Run, LogSource::Stdout) => self.result.push(&bytes),
            (Phase::Run | Phase::Prepare, LogSource::Stderr) => self.errors.push(&bytes),
            (Phase::Run | Phase::Prepare | Phase::Checkout, _) => {}
        }
        self.log.write(phase, source, bytes);
    }

    fn finish(mut self) -> (CapturedOutput, Option<String>) {
        for ((phase, source), mut stream) in std::mem::take(&mut self.streams) {
            self.keep(phase, source, stream.finish());
        }
        (self.result.finish(), self.errors.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Written(Mutex<Vec<(LogSource, Vec<u8>)>>);

    impl LogSink for Written {
        fn write(&self, _: Phase, source: LogSource, bytes: Bytes) {
            self.0.lock().unwrap().push((source, bytes.to_vec()));
        }
    }

    #[tokio::test]
    async fn a_secret_in_pieces_between_those_of_the_other_output_reaches_nothing() {
        let log = Arc::new(Written::default());
        let collector = OutputCollector::start(log.clone(), 1000, Mask::of(["hunter2!"]));
        let pieces = [
            (LogSource::Stdout, "out hun"),
            (LogSource::Stderr, "err hunte"),
            (LogSource::Gitfaas, "the proxy refuses hunter2!.example\n"),
            (LogSource::Stdout, "ter2! end"),
            (LogSource::Stderr, "r2!"),
            (LogSource::Stdout, " hunt"),
        ];
        for (source, text) in pieces {
            collector.sender.send(Chunk { phase: Phase::Run, source, bytes: text.into() }).await.unwrap();
        }
        let (result, errors) = collector.finish().await;
        assert_eq!(result.bytes, b"out *** end hunt");
        assert_eq!(errors.as_deref(), Some("err ***"));
        let of = |wanted: LogSource| {
            let written = log.0.lock().unwrap();
            let bytes: Vec<u8> =
                written.iter().filter(|(source, _)| *source == wanted).flat_map(|(_, b)| b.clone()).collect();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(of(LogSource::Stdout), "out *** end hunt");
        assert_eq!(of(LogSource::Stderr), "err ***");
        assert_eq!(of(LogSource::Gitfaas), "the proxy refuses ***.example\n");
    }
}
