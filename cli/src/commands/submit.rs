//! `gitfaas submit`: submits a job over REST, and with --wait follows it to its end.

use std::{io::IsTerminal as _, process::ExitCode};

use jobs::{
    JobId,
    api::{Job, SubmitJob},
};
use reqwest::Method;

use crate::{
    answer::Answer,
    api::Api,
    args::{SubmitArgs, split_ref},
    events,
    exit::{self, CommandResult},
    log_view::{LogTarget, LogView},
    out::Stdout,
    record,
};

/// A gateway that is restarted answers the second or third time.
const TRIES: u32 = 3;

pub(super) async fn submit(args: SubmitArgs) -> CommandResult {
    let api = Api::from_env()?;
    let job = once(&api, &call(&args)).await?;
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
fn call(args: &SubmitArgs) -> SubmitJob {
    let (repo, reference) = split_ref(&args.source);
    SubmitJob {
        repo: repo.to_owned(),
        reference: reference.map(str::to_owned),
        args: (!args.args.is_empty()).then(|| args.args.clone()),
        name: args.name.clone(),
        label: args.label.clone(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn an_argument_that_looks_like_an_option_is_an_argument() {
        let line =
            ["gitfaas", "submit", "https://example.com/r.git@main", "--arg", "-n", "--arg", "two words"];
        let Command::Submit(args) = Args::parse_from(line).command else { panic!("a submit") };
        let body = serde_json::to_string(&call(&args)).unwrap();
        insta::assert_snapshot!(body, @r#"{"repo":"https://example.com/r.git","ref":"main","args":["-n","two words"]}"#);
    }
}
