//! `gitfaas submit`: submits a job over REST, and with --wait follows it to its end.

use std::{io::IsTerminal as _, process::ExitCode};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jobs::{
    JobId,
    api::{Job, MAX_INPUT_BYTES, SubmitJob},
};
use reqwest::Method;

use crate::{
    answer::Answer,
    api::Api,
    args::{SubmitArgs, split_ref},
    events,
    exit::{self, CommandResult},
    input,
    log_view::{LogTarget, LogView},
    out::Stdout,
    record,
};

/// A gateway that is restarted answers the second or third time.
const TRIES: u32 = 3;

pub(super) async fn submit(args: SubmitArgs) -> CommandResult {
    let api = Api::from_env()?;
    let job = once(&api, &call(&args)?).await?;
    let id = job.id;
    let out = Stdout::new();
    if !args.wait {
        if args.json.json {
            out.json(&job)?;
        } else {
            out.line(&id.to_string())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut view = LogView::new(LogTarget::Stderr);
    let over = events::follow(&api, id, |event| Ok(view.show(event)?)).await?;
    view.end()?;
    if args.json.json {
        out.json(&over)?;
    } else if over.result_bytes.is_some() && !on_one_terminal() {
        out.untrusted(&api.result(id).await?)?;
    }
    if record::exit(&over) != 0 {
        eprintln!("{}", crate::terminal::safe(&record::sentence(&over)));
    }
    Ok(exit::of_function(record::exit(&over)))
}

/// On a terminal the log has shown the program's output already.
fn on_one_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Submits once, however often it is sent: a request whose answer was lost names the same job again.
async fn once(api: &Api, call: &SubmitJob) -> anyhow::Result<Answer<Job>> {
    let key = JobId::new().to_string();
    let mut tries = 1;
    loop {
        let request = api.request(Method::POST, &["jobs"]).header("Idempotency-Key", &key).json(call);
        match api.json(request, "repository").await {
            Err(error) if tries < TRIES && was_lost(&error) => tries += 1,
            done => return done,
        }
    }
}

/// Whether the connection broke before an answer was read.
fn was_lost(error: &anyhow::Error) -> bool {
    let broken = |cause: &reqwest::Error| !cause.is_builder() && !cause.is_connect() && !cause.is_status();
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// The body of the request; what was not given is left to the gateway.
fn call(args: &SubmitArgs) -> anyhow::Result<SubmitJob> {
    let (repo, reference) = split_ref(&args.source);
    let (input, input_base64) = match input::read(args.input.as_deref(), MAX_INPUT_BYTES)? {
        Some(bytes) => text_or_base64(bytes),
        None => (None, None),
    };
    Ok(SubmitJob {
        repo: repo.to_owned(),
        reference: reference.map(str::to_owned),
        args: (!args.args.is_empty()).then(|| args.args.clone()),
        input,
        input_base64,
        name: args.name.clone(),
        label: args.label.clone(),
    })
}

/// An input as the one or the other field. A text that JSON would make longer than base64 does is sent as bytes.
fn text_or_base64(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    let is_escaped = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\\');
    let escaped = bytes.iter().filter(|byte| is_escaped(byte)).count();
    match String::from_utf8(bytes) {
        Ok(text) if escaped <= text.len() / 16 => (Some(text), None),
        Ok(text) => (None, Some(BASE64_STANDARD.encode(text))),
        Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn an_input_is_sent_as_text_where_it_is_short_as_text() {
        assert_eq!(
            text_or_base64(b"{1: 2, 3: 4, 5: 6}\n".to_vec()).0.as_deref(),
            Some("{1: 2, 3: 4, 5: 6}\n")
        );
        assert_eq!(text_or_base64(vec![0, 255]), (None, Some("AP8=".to_owned())));
        assert_eq!(text_or_base64(vec![1; 300]).1.unwrap().len(), 400);
    }

    #[test]
    fn an_argument_that_looks_like_an_option_is_an_argument() {
        let line =
            ["gitfaas", "submit", "https://example.com/r.git@main", "--arg", "-n", "--arg", "two words"];
        let Command::Submit(args) = Args::parse_from(line).command else { panic!("a submit") };
        let body = serde_json::to_string(&call(&args).unwrap()).unwrap();
        insta::assert_snapshot!(body, @r#"{"repo":"https://example.com/r.git","ref":"main","args":["-n","two words"]}"#);
    }
}
