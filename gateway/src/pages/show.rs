//! A record in words for people.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use jobs::{
    Job, LogSource,
    api::{ForgeStatus, JobInput},
    bucket::Entry,
    units::show_duration,
};

/// A job as a page shows it.
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) title: String,
    /// Cause and sentence; empty when there is nothing to say.
    pub(super) cause: &'static str,
    pub(super) message: String,
    pub(super) url: String,
    pub(super) reference: String,
    pub(super) sha: String,
    pub(super) short_sha: String,
    pub(super) args: String,
    pub(super) trigger: String,
    pub(super) attempt: u32,
    pub(super) worker: String,
    pub(super) created_at: String,
    pub(super) timings: Vec<(&'static str, String)>,
    pub(super) exit_code: String,
    pub(super) memory: String,
    pub(super) result: String,
    pub(super) result_is_cut: bool,
    pub(super) rerun_of: String,
    pub(super) is_final: bool,
    /// What it read; only on the job's own page.
    pub(super) input: Option<InputView>,
    /// At the forge; empty when nothing is known of one.
    pub(super) status: String,
    /// What mends it.
    pub(super) status_fix: String,
}

impl JobView {
    pub(super) fn of(entry: &Entry<Job>) -> Self {
        let job = &entry.value;
        let trigger = serde_json::to_value(job.spec.trigger).ok();
        let trigger = trigger.and_then(|word| Some(word.as_str()?.replace('_', " ")));
        let result = job.status.result.as_ref();
        let sha = job.spec.sha.as_ref();
        Self {
            id: job.spec.id.to_string(),
            state: job.status.state.as_str(),
            title: job.spec.name.clone().unwrap_or_else(|| repository(job.spec.url.as_str())),
            cause: job.status.cause.map_or("", jobs::Cause::as_str),
            message: job.status.message.clone().unwrap_or_default(),
            url: job.spec.url.to_string(),
            reference: job.spec.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
            sha: sha.map(ToString::to_string).unwrap_or_default(),
            short_sha: sha.map(|sha| sha.short().to_owned()).unwrap_or_default(),
            args: job.spec.args.as_deref().map(shell_words::join).unwrap_or_default(),
            trigger: trigger.unwrap_or_default(),
            attempt: job.status.attempt,
            worker: job.status.worker.as_ref().map(ToString::to_string).unwrap_or_default(),
            created_at: second(entry.created_at()),
            timings: timings(job),
            exit_code: job.status.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            memory: job.status.peak_memory_bytes.map(megabytes).unwrap_or_default(),
            result: result
                .map(|result| String::from_utf8_lossy(&result.head()).into_owned())
                .unwrap_or_default(),
            result_is_cut: result.is_some_and(|result| !result.is_whole()),
            rerun_of: job.spec.rerun_of.map(|id| id.to_string()).unwrap_or_default(),
            is_final: job.status.state.is_final(),
            input: None,
            status: String::new(),
            status_fix: String::new(),
        }
    }

    /// The same with what is shown of its input.
    pub(super) fn with_input(self, input: Option<JobInput>) -> Self {
        Self { input: input.map(InputView::of), ..self }
    }

    /// The same with what became of its status at the forge.
    pub(super) fn with_status(self, status: Option<&ForgeStatus>) -> Self {
        let Some(status) = status else { return self };
        let status_fix = status.fix.clone().unwrap_or_default();
        Self { status: status_line(status), status_fix, ..self }
    }
}

/// The input of a job as a page shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputView {
    /// The request, the length, and the type.
    pub(super) summary: String,
    /// Its beginning, or why that is not shown.
    pub(super) head: Result<String, String>,
    pub(super) is_cut: bool,
}

impl InputView {
    fn of(input: JobInput) -> Self {
        let JobInput { bytes, sha256: _, content_type, method, path, head, hidden } = input;
        let request = [method, path].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let parts = [Some(request), Some(format!("{bytes} bytes")), content_type];
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let is_cut = head.as_ref().is_some_and(|head| (head.len() as u64) < bytes);
        Self { summary: parts.join(", "), head: head.ok_or(hidden.unwrap_or_default()), is_cut }
    }
}

/// Such as `gitfaas/push: refused since 2026-01-31 12:00:00 UTC: the token may not push there`.
fn status_line(status: &ForgeStatus) -> String {
    let since = status.since.map(|since| format!(" since {}", second(since))).unwrap_or_default();
    let reason = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}: {}{since}{reason}", status.context, status.state)
}

/// A point in time, as pages show it.
pub(super) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The last part of a URL, as people call a repository.
fn repository(url: &str) -> String {
    let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
    name.strip_suffix(".git").unwrap_or(name).to_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn timings(job: &Job) -> Vec<(&'static str, String)> {
    let parts = &job.status.timings_ms;
    let named = [
        ("queued", parts.queued),
        ("checkout", parts.checkout),
        ("prepare", parts.prepare),
        ("run", parts.run),
    ];
    let shown = |ms: u64| show_duration(Duration::from_millis(ms));
    named.into_iter().filter_map(|(name, ms)| Some((name, shown(ms?)))).collect()
}

/// A piece of the log of one source.
pub(super) struct LogSegment {
    pub(super) source: &'static str,
    bytes: Vec<u8>,
}

impl LogSegment {
    /// Adds a chunk; one source's chunks in a row are one piece, so that no character is split.
    pub(super) fn add(pieces: &mut Vec<Self>, source: LogSource, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match pieces.last_mut().filter(|last| last.source == source.as_str()) {
            Some(last) => last.bytes.extend_from_slice(bytes),
            None => pieces.push(Self { source: source.as_str(), bytes: bytes.to_vec() }),
        }
    }

    /// As text; what is not UTF-8 is shown as U+FFFD.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use jobs::api::StatusState;
    use test_case::test_case;

    use super::*;

    fn status(state: StatusState, reason: Option<&str>, since: Option<&str>) -> ForgeStatus {
        let since = since.map(|since| since.parse().unwrap());
        let reason = reason.map(str::to_owned);
        ForgeStatus { context: "gitfaas/push".to_owned(), state: state.into(), reason, since, fix: None }
    }

    #[test_case(StatusState::Posted, None, None => "gitfaas/push: posted")]
    #[test_case(StatusState::Waiting, None, Some("2026-01-31T12:00:00.5Z") => "gitfaas/push: waiting since 2026-01-31 12:00:00 UTC")]
    #[test_case(StatusState::Refused, Some("403"), Some("2026-01-31T12:00:00Z") => "gitfaas/push: refused since 2026-01-31 12:00:00 UTC: 403")]
    #[test_case(StatusState::Silent, Some("there is no token"), None => "gitfaas/push: silent: there is no token")]
    fn what_became_of_a_status(state: StatusState, reason: Option<&str>, since: Option<&str>) -> String {
        let status = status(state, reason, since);
        let on_the_wire = serde_json::to_value(&status).unwrap();
        assert_eq!(on_the_wire["state"], state.as_str());
        assert!(on_the_wire.get("fix").is_none(), "{on_the_wire}");
        status_line(&status)
    }

    #[test]
    fn what_is_shown_of_an_input() {
        let input = jobs::Input::new("x".repeat(2000), "text/plain").describe();
        let input = JobInput { head: Some("x".repeat(1024)), ..JobInput::from(&input) };
        let request =
            JobInput { method: Some("POST".to_owned()), path: Some("/a".to_owned()), ..input.clone() };
        let hidden = JobInput { head: None, hidden: Some("why".to_owned()), ..input.clone() };
        let view = InputView::of(input);
        assert_eq!((view.summary.as_str(), view.is_cut), ("2000 bytes, text/plain", true));
        assert_eq!(InputView::of(request).summary, "POST /a, 2000 bytes, text/plain");
        let view = InputView::of(hidden);
        assert_eq!((view.head, view.is_cut), (Err("why".to_owned()), false));
    }

    #[test_case("https://github.com/a/pi.git" => "pi")]
    #[test_case("https://github.com/a/pi/" => "pi" ; "slash")]
    fn what_people_call_it(url: &str) -> String {
        repository(url)
    }

    #[test]
    fn pieces_of_one_source_are_joined_and_characters_stay_whole() {
        let mut pieces = Vec::new();
        LogSegment::add(&mut pieces, LogSource::Stdout, b"\xc3");
        LogSegment::add(&mut pieces, LogSource::Stdout, b"\xa9");
        LogSegment::add(&mut pieces, LogSource::Stderr, b"");
        LogSegment::add(&mut pieces, LogSource::Stderr, b"x");
        let texts: Vec<_> = pieces.iter().map(|piece| (piece.source, piece.text().into_owned())).collect();
        assert_eq!(texts, [("stdout", "é".to_owned()), ("stderr", "x".to_owned())]);
    }
}
