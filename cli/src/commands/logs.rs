//! `gitfaas logs`: a job's log as far as it is there, or as it comes.

use std::process::ExitCode;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use crate::{
    api::Api,
    args::LogsArgs,
    events::{self, Event},
    exit::CommandResult,
    log_view::{LogTarget, LogView},
    out::Stdout,
};

pub(super) async fn logs(args: LogsArgs) -> CommandResult {
    let api = Api::from_env()?;
    match (args.follow, args.json.json) {
        (true, true) => follow_as_json(&api, &args).await?,
        (true, false) => {
            let mut view = LogView::new(LogTarget::Stdout);
            events::follow(&api, args.id, |event| Ok(view.show(event)?)).await?;
            view.end()?;
        }
        (false, _) => so_far(&api, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One event a line.
async fn follow_as_json(api: &Api, args: &LogsArgs) -> anyhow::Result<()> {
    let out = Stdout::new();
    events::follow(api, args.id, |event| {
        let line = match event {
            Event::Log(log) => json!({
                "type": "log", "offset": log.offset, "source": log.source, "phase": log.phase, "text": log.text,
            }),
            Event::State(job) => json!({"type": "state", "job": job}),
        };
        Ok(out.line(&line.to_string())?)
    })
    .await?;
    Ok(())
}

async fn so_far(api: &Api, args: &LogsArgs) -> anyhow::Result<()> {
    let out = Stdout::new();
    let response = api.send(api.request(Method::GET, &["jobs", &args.id.to_string(), "log"]), "job").await?;
    let mut bytes = response.bytes_stream();
    let mut whole = Vec::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|source| api.broken(source))?;
        // A character may be split between two pieces, and a terminal is shown whole ones.
        if out.terminal || args.json.json { whole.extend_from_slice(&piece) } else { out.untrusted(&piece)? }
    }
    if args.json.json {
        out.json(&json!({"text": String::from_utf8_lossy(&whole)}))?;
    } else {
        out.untrusted(&whole)?;
    }
    Ok(())
}
