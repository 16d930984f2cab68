//! A job as the API shows it, for people.

use jobs::{
    State,
    api::{ForgeStatus, Job, JobInput},
};

use crate::{
    fields::{text, time},
    terminal,
};

/// `error (exit)`, `finish`, `working`.
pub(crate) fn state(job: &Job) -> String {
    match &job.cause {
        Some(cause) => format!("{} ({cause})", job.state),
        None => job.state.to_string(),
    }
}

/// What the job is doing or how it ended, in a line.
pub(crate) fn sentence(job: &Job) -> String {
    let url = &job.url;
    match (job.state.known(), text(job.message.as_deref())) {
        (Some(State::Pending), None) => format!("pending: {url} waits for a worker"),
        (Some(State::Working), _) => {
            let worker = job.worker.as_ref().map_or("a worker", |worker| worker.as_str());
            format!("working: {url} on {worker}")
        }
        (Some(State::Pending | State::Finish | State::Error) | None, Some(message)) => {
            format!("{}: {message}", state(job))
        }
        (Some(State::Finish | State::Error) | None, None) => format!("{}: {url}", state(job)),
    }
}

/// Whether it is over.
pub(crate) fn is_over(job: &Job) -> bool {
    job.state.known().is_some_and(|state| state.is_final())
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

/// The repository and, if it was given, the ref.
pub(crate) fn source(job: &Job) -> String {
    match text(job.reference.as_deref()) {
        Some(reference) => format!("{}@{reference}", job.url),
        None => job.url.clone(),
    }
}

/// The whole record as lines of name and value.
pub(crate) fn lines(job: &Job) -> Vec<(&'static str, String)> {
    let given = |value: &Option<String>| text(value.as_deref()).map(str::to_owned);
    let timings = job.timings_ms;
    let all = [
        ("id", Some(job.id.to_string())),
        ("state", Some(state(job))),
        ("message", given(&job.message)),
        ("name", given(&job.name)),
        ("source", Some(source(job))),
        ("commit", job.sha.as_ref().map(ToString::to_string)),
        ("arguments", job.args.as_ref().map(shell_words::join)),
        ("input", job.input.as_ref().map(input)),
        ("trigger", Some(job.trigger.to_string())),
        ("status", job.status.as_ref().map(status)),
        ("label", job.label.as_ref().map(ToString::to_string)),
        ("worker", job.worker.as_ref().map(ToString::to_string)),
        ("attempt", (job.attempt > 0).then(|| job.attempt.to_string())),
        ("created", job.created_at.map(|at| at.to_string())),
        ("started", job.started_at.map(|at| at.to_string())),
        ("finished", job.finished_at.map(|at| at.to_string())),
        ("queued", timings.queued.map(seconds)),
        ("checkout", timings.checkout.map(seconds)),
        ("prepare", timings.prepare.map(seconds)),
        ("run", timings.run.map(seconds)),
        ("peak memory", job.peak_memory_bytes.map(|bytes| format!("{} KiB", bytes.div_ceil(1024)))),
        ("exit code", job.exit_code.map(|code| code.to_string())),
        ("result", job.result_bytes.map(|bytes| format!("{bytes} bytes, `gitfaas result ID` prints them"))),
        ("left out", job.omitted_bytes.filter(|bytes| *bytes > 0).map(|bytes| format!("{bytes} bytes"))),
        ("repeats", job.rerun_of.map(|id| id.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, terminal::safe(&value?).into_owned()))).collect()
}

/// The request, length and type of an input, and why its content is not shown, such as `7 bytes, text/plain`.
fn input(input: &JobInput) -> String {
    let JobInput { bytes, sha256: _, content_type, method, path, head: _, hidden } = input;
    let request = [method, path].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let parts = [Some(request), Some(format!("{bytes} bytes")), content_type.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let hidden = text(hidden.as_deref()).map(|why| format!("; {why}")).unwrap_or_default();
    format!("{}{hidden}", parts.join(", "))
}

/// The beginning of a job's input, under a line that says so; nothing where it is empty or not shown.
pub(crate) fn input_head(job: &Job) -> Option<String> {
    let input = job.input.as_ref()?;
    let head = text(input.head.as_deref())?;
    let lines: Vec<_> = head.lines().map(terminal::safe).collect();
    let whole = if (head.len() as u64) < input.bytes { "the beginning of its input" } else { "its input" };
    Some(format!("\n{whole}:\n{}", lines.join("\n")))
}

/// What became of the commit's status, such as `posted`, or `refused since …: why; what mends it`.
fn status(status: &ForgeStatus) -> String {
    let since = status.since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
    let reason = text(status.reason.as_deref()).map(|reason| format!(": {reason}")).unwrap_or_default();
    let fix = text(status.fix.as_deref()).map(|fix| format!("; {fix}")).unwrap_or_default();
    format!("{}{since}{reason}{fix}", status.state)
}

/// The exit code of who waited for this job: 0, the function's own, or 1.
pub(crate) fn exit(job: &Job) -> i32 {
    match (job.state.known(), job.exit_code) {
        (Some(State::Finish), _) => 0,
        (Some(State::Pending | State::Working | State::Error) | None, Some(code)) if code != 0 => code,
        (Some(State::Pending | State::Working | State::Error) | None, _) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::samples;

    #[test_case(json!({"state": "finish", "exit_code": 0}) => 0)]
    #[test_case(json!({"state": "finish", "cause": "skipped"}) => 0 ; "skipped is a good end")]
    #[test_case(json!({"state": "error", "cause": "exit", "exit_code": 3}) => 3)]
    #[test_case(json!({"state": "error", "cause": "timeout"}) => 1)]
    #[test_case(json!({"state": "error", "cause": "disk", "exit_code": 0}) => 1)]
    fn exit_codes(job: Value) -> i32 {
        exit(&samples::job(job))
    }

    #[test_case(json!({"context": "gitfaas/push", "state": "posted"}) => Some("posted".to_owned()))]
    #[test_case(json!({"context": "gitfaas/push", "state": "waiting"}) => Some("waiting".to_owned()))]
    #[test_case(
        json!({"context": "gitfaas/push", "state": "refused", "reason": "401 Unauthorized", "since": "2026-01-02T03:04:05.6Z", "fix": "give a new token"})
            => Some("refused since 2026-01-02T03:04:05Z: 401 Unauthorized; give a new token".to_owned()) ; "refused"
    )]
    #[test_case(json!({"context": "gitfaas/push", "state": "silent", "reason": "there is no token"}) => Some("silent: there is no token".to_owned()))]
    #[test_case(json!(null) => None ; "nothing to do with a forge")]
    fn the_status(told: Value) -> Option<String> {
        let job: Job = samples::job(json!({ "status": told }));
        job.status.as_ref().map(status)
    }

    #[test]
    fn words_that_a_newer_gateway_added_are_shown_as_they_came() {
        let job: Job = samples::job(json!({"state": "paused", "cause": "weather"}));
        assert_eq!(sentence(&job), "paused (weather): https://example.com/r.git");
        assert_eq!((is_over(&job), exit(&job)), (false, 1));
    }

    #[test]
    fn the_beginning_of_an_input() {
        let with = |input: Value| input_head(&samples::job(json!({ "input": input })));
        let text = with(json!({"bytes": 6, "sha256": "e3b0c442", "head": "a\n\u{1b}[2J"}));
        assert_eq!(text.as_deref(), Some("\nits input:\na\n^[[2J"));
        let text = with(json!({"bytes": 2000, "sha256": "e3b0c442", "head": "a"}));
        assert_eq!(text.as_deref(), Some("\nthe beginning of its input:\na"));
        assert_eq!(with(json!({"bytes": 7, "sha256": "e3b0c442", "hidden": "why"})), None);
    }

    #[test]
    fn a_job_in_lines() {
        let job = samples::job(json!({
            "id": "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10", "state": "error", "cause": "exit",
            "message": "exit code 3\u{1b}[2J", "url": "https://example.com/r.git", "ref": "main",
            "args": ["1", "two words"], "attempt": 1,
            "input": {"bytes": 7, "sha256": "e3b0c442", "content_type": "text/plain", "method": "POST", "path": "/a", "hidden": "why"}, "timings_ms": {"queued": 7, "run": 1234},
            "peak_memory_bytes": 5000, "exit_code": 3, "result_bytes": 0,
            "status": {"context": "gitfaas/push", "state": "silent", "reason": "there is no token\u{9b}31m"},
        }));
        let text: String = lines(&job).iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        insta::assert_snapshot!(text, @r"
        id: 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
        state: error (exit)
        message: exit code 3^[[2J
        source: https://example.com/r.git@main
        arguments: 1 'two words'
        input: POST /a, 7 bytes, text/plain; why
        trigger: call
        status: silent: there is no token\u{9b}31m
        label: default
        attempt: 1
        created: 2026-01-02T03:04:05Z
        queued: 0.007 s
        run: 1.234 s
        peak memory: 5 KiB
        exit code: 3
        result: 0 bytes, `gitfaas result ID` prints them
        ");
    }
}
