//! Follows the event stream of a job: log and state, resumed after a broken connection.

use std::time::Duration;

use anyhow::Context as _;
use eventsource_stream::{Event as Message, Eventsource as _};
use futures_util::StreamExt as _;
use jobs::{
    JobId,
    api::{Job, LogEvent},
};
use reqwest::Method;

use crate::{
    answer::Answer,
    api::{Api, ApiError},
    record,
};

/// Delay before reconnecting.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Reconnects in a row without any event in between; a gateway that restarts is back by then.
const MAX_RECONNECTS: u32 = 30;
/// A connection without even a heartbeat for this long counts as broken.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// An event of a job that is not over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Log(LogEvent<'static>),
    State(Box<Answer<Job>>),
}

/// Follows a job to its end, and returns it as it ended. `each` is called with every event in
/// order, and with none twice.
pub(crate) async fn follow(
    api: &Api,
    id: JobId,
    mut each: impl FnMut(&Event) -> anyhow::Result<()>,
) -> anyhow::Result<Answer<Job>> {
    let mut last_id = String::new();
    let mut tries = 0;
    loop {
        let broken = match connection(api, id, &mut last_id, &mut tries, &mut each).await {
            Ok(Some(job)) => return Ok(*job),
            Ok(None) => anyhow::anyhow!("the gateway ended the connection"),
            Err(error) if is_permanent(&error) => return Err(error),
            Err(error) => error,
        };
        tries += 1;
        if tries > MAX_RECONNECTS {
            return Err(broken.context("the job goes on, but its events cannot be followed"));
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Errors that reconnecting cannot mend: a refusal, or a closed standard output.
fn is_permanent(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ApiError>() {
        Some(ApiError::Unreachable { .. } | ApiError::Broken { .. }) => false,
        Some(ApiError::Refused { status, .. }) => !status.is_server_error(),
        Some(
            ApiError::Unauthorized { .. }
            | ApiError::SignedOut { .. }
            | ApiError::Credentials(_)
            | ApiError::NotFound { .. },
        ) => true,
        None => error.is::<crate::out::StdoutError>(),
    }
}

/// Reads one connection to its end; returns the job if it is over.
async fn connection(
    api: &Api,
    id: JobId,
    last_id: &mut String,
    tries: &mut u32,
    each: &mut impl FnMut(&Event) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Box<Answer<Job>>>> {
    let mut request =
        api.request(Method::GET, &["jobs", &id.to_string(), "events"]).header("accept", "text/event-stream");
    if !last_id.is_empty() {
        request = request.header("last-event-id", last_id.as_str());
    }
    let response = api.send(request, "job").await?;
    let mut messages = response.bytes_stream().eventsource();
    let mut over = None;
    loop {
        let message =
            tokio::time::timeout(IDLE_TIMEOUT, messages.next()).await.context("the gateway fell silent")?;
        let Some(message) = message else { return Ok(over) };
        // After the end nothing is missing any more, so a connection that breaks then does not matter.
        let message = match message {
            Ok(message) => message,
            Err(_) if over.is_some() => return Ok(over),
            Err(error) => return Err(anyhow::anyhow!("{error}").context("the events broke off")),
        };
        *tries = 0;
        if let Some(event) = parse(&message)? {
            if !message.id.is_empty() {
                last_id.clone_from(&message.id);
            }
            each(&event)?;
            if let Event::State(job) = event {
                over = record::is_over(&job).then_some(job);
                // The last piece of the log is stored before the final state is, and sent before it.
                if over.is_some() {
                    return Ok(over);
                }
            }
        }
    }
}

/// Parses a message; unknown kinds, which a newer gateway may send, are ignored.
fn parse(message: &Message) -> anyhow::Result<Option<Event>> {
    let json = || "the gateway sent an event that is not JSON";
    match message.event.as_str() {
        "log" => Ok(Some(Event::Log(serde_json::from_str(&message.data).with_context(json)?))),
        "state" => Ok(Some(Event::State(serde_json::from_str(&message.data).with_context(json)?))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use jobs::{LogSource, Phase};

    use super::*;

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned(), id: "1.5".to_owned(), retry: None }
    }

    #[test]
    fn log_and_state_are_understood_and_what_is_newer_is_passed_over() {
        let log = message("log", r#"{"offset":5,"source":"stderr","phase":"prepare","text":"hm\n"}"#);
        let line =
            LogEvent { offset: 5, source: LogSource::Stderr, phase: Phase::Prepare, text: "hm\n".into() };
        assert_eq!(parse(&log).unwrap(), Some(Event::Log(line)));
        let state = serde_json::json!({"id": crate::samples::ID, "state": "finish", "url": "u", "trigger": "call",
                                       "attempt": 1, "timings_ms": {}, "weather": "fine"});
        let Some(Event::State(job)) = parse(&message("state", &state.to_string())).unwrap() else {
            panic!("a state")
        };
        assert!(record::is_over(&job));
        assert_eq!(parse(&message("weather", "{}")).unwrap(), None);
        assert!(parse(&message("log", "nonsense")).is_err());
    }
}
