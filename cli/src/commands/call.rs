//! `gitfaas call`: calls a function and prints its answer, exact to the byte.

use std::{io::Read as _, process::ExitCode};

use anyhow::Context as _;
use jobs::api::{CallProblem, PROBLEM_JSON};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};

use crate::{api::Api, args::CallArgs, exit::CommandResult, out::Stdout, terminal};

/// The header that says how long to wait (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

pub(super) async fn call(args: CallArgs) -> CommandResult {
    let api = Api::from_env()?;
    let response = api.send_any(request(&api, &args)?).await?;
    let status = response.status();
    if status == StatusCode::ACCEPTED {
        return accepted(&api, &args, &response);
    }
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let bytes = response.bytes().await.map_err(|source| api.broken(source))?;
    if content_type.is_some_and(|kind| kind == PROBLEM_JSON) {
        return Err(problem(&api, status, &bytes));
    }
    Stdout::new().untrusted(&bytes)?;
    // The function's own answer, of which it says itself that it is no good one.
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error {
        eprintln!("the function answered {status}");
    }
    Ok(if is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn request(api: &Api, args: &CallArgs) -> anyhow::Result<RequestBuilder> {
    let body = args.data.as_deref().map(data).transpose()?;
    let method = match (&args.method, &body) {
        (Some(method), _) => method.to_ascii_uppercase().parse().context("--method")?,
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let mut request = api.at(method, &format!("f/{}", args.function.trim_start_matches('/')))?;
    for line in &args.headers {
        let (name, value) = header(line)?;
        request = request.header(name, value);
    }
    match (args.is_async, args.wait) {
        (true, _) => request = request.header(PREFER, "respond-async"),
        (false, Some(seconds)) => request = request.header(PREFER, format!("wait={seconds}")),
        (false, None) => {}
    }
    Ok(match body {
        Some(body) => request.body(body),
        None => request,
    })
}

/// What `--data` says.
fn data(given: &str) -> anyhow::Result<Vec<u8>> {
    if given == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    match given.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {path}")),
        None => Ok(given.as_bytes().to_vec()),
    }
}

fn header(line: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let read = || {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    read().with_context(|| format!("--header {line:?}: must be a name, a colon and a value"))
}

/// The call was made, and there is no answer yet.
fn accepted(api: &Api, args: &CallArgs, response: &Response) -> CommandResult {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let address = location.and_then(|location| api.url().join(location).ok());
    let address = address.context("the gateway does not say where the answer will be")?;
    if args.is_async {
        Stdout::new().line(address.as_str())?;
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!("the call is not over yet; it goes on, and its answer will be at {address}")
}

fn problem(api: &Api, status: StatusCode, bytes: &[u8]) -> anyhow::Error {
    let Ok(problem) = serde_json::from_slice::<CallProblem>(bytes) else {
        return anyhow::anyhow!("the gateway answered {status}");
    };
    let mut sentence = terminal::safe(&problem.detail).into_owned();
    if problem.may_have_run {
        sentence.push_str("; the program may have run");
    }
    if let Some(job) = problem.job {
        sentence.push_str(&format!(" (gitfaas logs {job} at {})", api.url()));
    }
    anyhow::anyhow!("{sentence} ({status})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_a_text_or_a_file() {
        assert_eq!(data("a b").unwrap(), b"a b");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [0, 255]).unwrap();
        assert_eq!(data(&format!("@{}", path.display())).unwrap(), [0, 255]);
        let missing = data(&format!("@{}/y", folder.path().display())).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read"), "{missing}");
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("X-A:  b: c ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-a", "b: c"));
        for wrong in ["", "x", "a b: c", ": c", "x: \u{7}"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
