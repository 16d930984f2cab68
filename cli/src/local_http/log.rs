//! What is written to stderr: a line for each request, and what the programs say.

use std::{sync::Arc, time::Duration};

use axum::{http::request::Parts, response::Response};
use jobs::{LogSource, Phase};
use parking_lot::Mutex;
use worker::local::LocalOutput;

use super::answer::Detail;
use crate::{
    log_view::{LogTarget, LogView},
    terminal,
};

/// One line: method, path, status, time, and why it failed.
pub(super) fn request(parts: &Parts, response: &Response, took: Duration) {
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let (status, ms) = (response.status().as_u16(), took.as_millis());
    let detail = response.extensions().get::<Detail>();
    let why = detail.map(|Detail(sentence)| format!(": {sentence}")).unwrap_or_default();
    let line = format!("{} {path} {status} {ms} ms{why}", parts.method);
    eprintln!("{}", terminal::safe(&line));
}

/// The log of one run, without the standard output of its program, which is the answer.
pub(super) struct JobLog(Arc<Mutex<Option<LogView>>>);

impl Default for JobLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(LogView::without_status(LogTarget::Stderr)))))
    }
}

impl JobLog {
    pub(super) fn output(&self) -> LocalOutput {
        let view = Arc::clone(&self.0);
        Arc::new(move |phase, source, bytes| {
            let is_answer = phase == Phase::Run && source == LogSource::Stdout;
            if let Some(view) = view.lock().as_mut().filter(|_| !is_answer) {
                // A closed stderr does not stop the job.
                let _ = view.chunk(phase, source, bytes);
            }
        })
    }

    pub(super) fn end(self) {
        if let Some(view) = self.0.lock().take() {
            let _ = view.end();
        }
    }
}
