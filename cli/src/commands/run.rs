//! `gitfaas run`: one job here and now, with the worker's own code and without NATS; with `--http` one for each
//! request.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use jobs::{
    Cause, Input, Outcome, Trigger,
    api::{Job, JobInput, OpenEnum},
    input::MAX_BYTES,
};
use parking_lot::Mutex;
use worker::local::{self, LocalCall, LocalEnd, LocalOutput, LocalSource};

use crate::{
    args::{RunArgs, split_ref},
    config,
    exit::{self, CommandResult},
    input, local_http,
    log_view::{LogTarget, LogView},
    out::Stdout,
    record, signals, terminal,
};

pub(super) async fn run(args: RunArgs) -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let config = worker::config::Config::read(&config::var, &data_dir)?;
    let source = source(&args.source)?;
    if args.http {
        return match source {
            LocalSource::Directory(directory) => local_http::serve(config, directory, args.listen).await,
            LocalSource::Url { .. } => {
                Err(anyhow::anyhow!("--http is for a folder; a commit is called in a service"))
            }
        };
    }
    let stop = signals::stop()?;
    let input = input::read(args.input.as_deref(), MAX_BYTES)?;
    let described = input.clone().map(|body| Input { body: body.into(), ..Input::default() }.describe());
    let call = LocalCall {
        args: (!args.args.is_empty()).then_some(args.args),
        input: input.unwrap_or_default().into(),
        variables: Vec::new(),
    };
    let to = if args.json { LogTarget::Stderr } else { LogTarget::Split };
    let view = Arc::new(Mutex::new(Some(LogView::new(to))));
    let end = local::run(config, source, call, output(&view), stop).await;
    if let Some(view) = view.lock().take() {
        view.end()?;
    }
    let job = Job { input: described.as_ref().map(JobInput::from), ..shown(end?) };
    if args.json {
        Stdout::new().json(&job)?;
    }
    if record::exit(&job) != 0 {
        eprintln!("{}", terminal::safe(&record::sentence(&job)));
    }
    Ok(exit::of_function(record::exit(&job)))
}

/// The job, as a gateway would show it.
fn shown(end: LocalEnd) -> Job {
    let (cause, fault, message) = match &end.outcome {
        Outcome::Finished | Outcome::Built => (None, None, None),
        Outcome::Skipped { why } => (Some(Cause::Skipped), None, Some(why.clone())),
        Outcome::Failed { cause, fault, message } => (Some(*cause), Some(*fault), Some(message.clone())),
    };
    let (url, reference) = match end.source {
        LocalSource::Directory(path) => (path.display().to_string(), None),
        LocalSource::Url { url, reference } => (url.to_string(), reference),
    };
    let result = end.result.as_ref();
    Job {
        id: end.job,
        state: end.outcome.state().into(),
        cause: cause.map(OpenEnum::Known),
        fault: fault.map(OpenEnum::Known),
        message,
        may_have_run: false,
        exit_code: end.exit_code,
        repo: None,
        url,
        reference,
        sha: end.sha,
        name: None,
        args: end.args,
        input: None,
        label: None,
        trigger: Trigger::Call.into(),
        attempt: 1,
        worker: None,
        created_at: None,
        started_at: None,
        finished_at: None,
        timings_ms: end.timings_ms,
        peak_memory_bytes: end.peak_memory_bytes,
        prepared: end.prepared,
        result: result.map(|result| String::from_utf8_lossy(&result.bytes).into_owned()),
        result_bytes: result.map(|result| result.bytes.len() as u64),
        omitted_bytes: result.map(|result| result.omitted_bytes),
        rerun_of: None,
        status: None,
    }
}

/// Shows what comes: the result on standard output, everything else on stderr.
fn output(view: &Arc<Mutex<Option<LogView>>>) -> LocalOutput {
    let view = Arc::clone(view);
    Arc::new(move |phase, source, bytes| {
        if let Some(view) = view.lock().as_mut() {
            // A closed standard output does not stop the job.
            let _ = view.chunk(phase, source, bytes);
        }
    })
}

/// A folder that is there is meant; anything else is a URL.
fn source(text: &str) -> anyhow::Result<LocalSource> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        return Ok(LocalSource::Directory(path));
    }
    let (url, reference) = split_ref(text);
    if !url.contains("://") && !url.contains('.') || path.exists() || text.starts_with(['.', '/']) {
        anyhow::bail!("there is no folder {text}");
    }
    let url = url.parse().with_context(|| format!("{url} is neither a folder nor a clone URL"))?;
    Ok(LocalSource::Url { url, reference: reference.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use jobs::Timings;
    use worker::output::CapturedOutput;

    use super::*;
    use crate::samples;

    #[test_case("." => "folder")]
    #[test_case("https://example.com/r.git@main" => "https://example.com/r.git@main")]
    #[test_case("example.com/r.git" => "https://example.com/r.git" ; "without a scheme")]
    #[test_case("./nowhere" => "there is no folder ./nowhere" ; "a path that leads nowhere")]
    #[test_case("nowhere" => "there is no folder nowhere" ; "a name")]
    fn what_is_to_be_run(text: &str) -> String {
        match source(text) {
            Ok(LocalSource::Directory(_)) => "folder".to_owned(),
            Ok(LocalSource::Url { url, reference: Some(reference) }) => format!("{url}@{reference}"),
            Ok(LocalSource::Url { url, reference: None }) => url.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_job_is_shown_as_a_gateway_would() {
        let end = LocalEnd {
            job: samples::ID.parse().unwrap(),
            source: LocalSource::Url { url: "https://example.com/r".parse().unwrap(), reference: None },
            sha: Some("1f1ee58e3067678d3752dd5f6f3abb936325fbb8".parse().unwrap()),
            args: Some(vec!["7".to_owned()]),
            outcome: Outcome::function(Cause::Exit, "exit code 3"),
            exit_code: Some(3),
            timings_ms: Timings { run: Some(1234), ..Timings::default() },
            peak_memory_bytes: Some(5000),
            prepared: None,
            result: Some(CapturedOutput { bytes: b"3.14\xff\n".to_vec(), omitted_bytes: 0 }),
        };
        insta::assert_snapshot!(serde_json::to_value(shown(end)).unwrap(), @r#"{"args":["7"],"attempt":1,"cause":"exit","exit_code":3,"fault":"function","id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","message":"exit code 3","omitted_bytes":0,"peak_memory_bytes":5000,"result":"3.14�\n","result_bytes":6,"sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","state":"error","timings_ms":{"run":1234},"trigger":"call","url":"https://example.com/r"}"#);
    }
}
