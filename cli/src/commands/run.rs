//! `gitfaas run`: one job here and now, with the worker's own code and without NATS.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use worker::local::{self, LocalOutput, LocalSource};

use crate::{
    args::{RunArgs, split_ref},
    config,
    exit::{self, Done},
    log_view::{LogTarget, LogView},
    out::Out,
    record, signals, terminal,
};

pub(super) async fn run(args: RunArgs) -> Done {
    let data_dir = config::data_dir(&config::var)?;
    let config = worker::config::Config::read(&config::var, &data_dir)?;
    let source = source(&args.source)?;
    let stop = signals::stop()?;
    let function_args = (!args.args.is_empty()).then_some(args.args);
    let to = if args.json { LogTarget::Stderr } else { LogTarget::Split };
    let view = Arc::new(Mutex::new(Some(LogView::new(to))));
    let end = local::run(config, source, function_args, output(&view), stop).await;
    if let Some(view) = view.lock().take() {
        view.end()?;
    }
    let record = end?.record;
    if args.json {
        Out::new().json(&record)?;
    }
    if record::exit(&record) != 0 {
        eprintln!("{}", terminal::safe(&record::sentence(&record)));
    }
    Ok(exit::of_function(record::exit(&record)))
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

    use super::*;

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
}
