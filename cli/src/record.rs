//! A job as the API shows it, for people. Read as JSON, so that what a newer gateway adds is kept.

use serde_json::Value;

use crate::{
    fields::{text, time},
    terminal,
};

/// `error (exit)`, `finish`, `working`.
pub(crate) fn state(job: &Value) -> String {
    match (text(job, "state").unwrap_or("unknown"), text(job, "cause")) {
        (state, Some(cause)) => format!("{state} ({cause})"),
        (state, None) => state.to_owned(),
    }
}

/// What the job is doing or how it ended, in a line.
pub(crate) fn sentence(job: &Value) -> String {
    let url = text(job, "url").unwrap_or_default();
    match (text(job, "state").unwrap_or("unknown"), text(job, "message")) {
        ("pending", None) => format!("pending: {url} waits for a worker"),
        ("working", _) => format!("working: {url} on {}", text(job, "worker").unwrap_or("a worker")),
        (_, Some(message)) => format!("{}: {message}", state(job)),
        (_, None) => format!("{}: {url}", state(job)),
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: &Value) -> Option<String> {
    ms.as_u64().map(|ms| format!("{}.{:03} s", ms / 1000, ms % 1000))
}

/// The repository and, if it was given, the ref.
pub(crate) fn source(job: &Value) -> String {
    let url = text(job, "url").unwrap_or_default();
    match text(job, "ref") {
        Some(reference) => format!("{url}@{reference}"),
        None => url.to_owned(),
    }
}

/// The whole record as lines of name and value.
pub(crate) fn lines(job: &Value) -> Vec<(&'static str, String)> {
    let plain = |name: &'static str| (name, text(job, name).map(str::to_owned));
    let number = |name: &'static str| (name, job[name].as_i64().map(|number| number.to_string()));
    let timing = |name: &'static str| (name, seconds(&job["timings_ms"][name]));
    let list = |values: &Value| {
        let words: Vec<&str> = values.as_array()?.iter().filter_map(Value::as_str).collect();
        Some(shell_words::join(words))
    };
    let all = [
        plain("id"),
        ("state", Some(state(job))),
        plain("message"),
        plain("name"),
        ("source", Some(source(job))),
        ("commit", text(job, "sha").map(str::to_owned)),
        ("arguments", list(&job["args"])),
        plain("trigger"),
        ("status", status(&job["status"])),
        plain("label"),
        plain("worker"),
        (
            "attempt",
            job["attempt"].as_u64().filter(|attempt| *attempt > 0).map(|attempt| attempt.to_string()),
        ),
        ("created", text(job, "created_at").map(str::to_owned)),
        ("started", text(job, "started_at").map(str::to_owned)),
        ("finished", text(job, "finished_at").map(str::to_owned)),
        timing("queued"),
        timing("checkout"),
        timing("prepare"),
        timing("run"),
        (
            "peak memory",
            job["peak_memory_bytes"].as_u64().map(|bytes| format!("{} KiB", bytes.div_ceil(1024))),
        ),
        ("exit code", number("exit_code").1),
        (
            "result",
            job["result_bytes"]
                .as_u64()
                .map(|bytes| format!("{bytes} bytes, `gitfaas result ID` prints them")),
        ),
        (
            "left out",
            job["omitted_bytes"].as_u64().filter(|bytes| *bytes > 0).map(|bytes| format!("{bytes} bytes")),
        ),
        ("repeats", text(job, "rerun_of").map(str::to_owned)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, terminal::safe(&value?).into_owned()))).collect()
}

/// What became of the commit's status, such as `posted`, or `refused since …: why; what mends it`.
fn status(status: &Value) -> Option<String> {
    let state = text(status, "state")?;
    let since = time(status, "since").map(|since| format!(" since {since}")).unwrap_or_default();
    let reason = text(status, "reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    let fix = text(status, "fix").map(|fix| format!("; {fix}")).unwrap_or_default();
    Some(format!("{state}{since}{reason}{fix}"))
}

/// The exit code of who waited for this job: 0, the function's own, or 1.
pub(crate) fn exit(job: &Value) -> i32 {
    match (text(job, "state"), job["exit_code"].as_i64()) {
        (Some("finish"), _) => 0,
        (_, Some(code)) if code != 0 => i32::try_from(code).unwrap_or(1),
        (_, _) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test_case(json!({"state": "finish", "exit_code": 0}) => 0)]
    #[test_case(json!({"state": "finish", "cause": "skipped"}) => 0 ; "skipped is a good end")]
    #[test_case(json!({"state": "error", "cause": "exit", "exit_code": 3}) => 3)]
    #[test_case(json!({"state": "error", "cause": "timeout"}) => 1)]
    #[test_case(json!({"state": "error", "cause": "disk", "exit_code": 0}) => 1)]
    fn exit_codes(job: Value) -> i32 {
        exit(&job)
    }

    #[test_case(json!({"context": "gitfaas/push", "state": "posted"}) => Some("posted".to_owned()))]
    #[test_case(json!({"context": "gitfaas/push", "state": "waiting"}) => Some("waiting".to_owned()))]
    #[test_case(
        json!({"state": "refused", "reason": "401 Unauthorized", "since": "2026-01-02T03:04:05.6Z", "fix": "give a new token"})
            => Some("refused since 2026-01-02T03:04:05Z: 401 Unauthorized; give a new token".to_owned()) ; "refused"
    )]
    #[test_case(json!({"state": "silent", "reason": "there is no token"}) => Some("silent: there is no token".to_owned()))]
    #[test_case(json!(null) => None ; "nothing to do with a forge")]
    fn the_status(told: Value) -> Option<String> {
        status(&told)
    }

    #[test]
    fn a_job_in_lines() {
        let job = json!({
            "id": "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10", "state": "error", "cause": "exit",
            "message": "exit code 3\u{1b}[2J", "url": "https://example.com/r.git", "ref": "main",
            "args": ["1", "two words"], "attempt": 1, "timings_ms": {"queued": 7, "run": 1234},
            "peak_memory_bytes": 5000, "exit_code": 3, "result_bytes": 0,
            "status": {"context": "gitfaas/push", "state": "silent", "reason": "there is no token\u{9b}31m"},
        });
        let text: String = lines(&job).iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        insta::assert_snapshot!(text, @r"
        id: 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10
        state: error (exit)
        message: exit code 3^[[2J
        source: https://example.com/r.git@main
        arguments: 1 'two words'
        status: silent: there is no token\u{9b}31m
        attempt: 1
        queued: 0.007 s
        run: 1.234 s
        peak memory: 5 KiB
        exit code: 3
        result: 0 bytes, `gitfaas result ID` prints them
        ");
    }
}
