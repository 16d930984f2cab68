//! `gitfaas login`, `logout`, `whoami`: signs this machine's user in with a code (RFC 8628).

use std::{
    io::IsTerminal as _,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jobs::settings::GITFAAS_TOKEN;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::{
    api::{Api, words},
    args::JsonArgs,
    child, config,
    credentials::SignIn,
    exit::Done,
    out::Out,
    terminal,
};

/// What a request for tokens is told by (RFC 8628, section 3.4).
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What `slow_down` adds to the interval.
const SLOWER: Duration = Duration::from_secs(5);
/// A gateway that asks for more often or more seldom than this means something else.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

/// The answer of `POST /oauth/device`.
#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    #[serde(default = "five")]
    interval: u64,
}

/// Where the gateway does not say (RFC 8628, section 3.2).
fn five() -> u64 {
    5
}

/// The answer of `POST /oauth/token`.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
    expires_in: i64,
}

/// What became of a poll.
enum Poll {
    Signed(Granted),
    Wait,
    SlowDown,
}

pub(super) async fn login() -> Done {
    let api = Api::anonymous()?;
    let begun: Begun = api
        .json(api.outside(Method::POST, &["oauth", "device"]), "sign-in at this gateway")
        .await
        .and_then(|answer| serde_json::from_value(answer).context("the gateway's answer is not one"))?;
    eprintln!("Open   {}", terminal::safe(&begun.verification_uri));
    eprintln!("Code   {}", terminal::safe(&begun.user_code));
    if let Some(address) = &begun.verification_uri_complete {
        open(address);
    }
    let mut interval = Duration::from_secs(begun.interval.clamp(*INTERVALS.start(), *INTERVALS.end()));
    let granted = loop {
        tokio::time::sleep(interval).await;
        match poll(&api, &begun.device_code).await? {
            Poll::Signed(granted) => break granted,
            Poll::Wait => {}
            Poll::SlowDown => interval += SLOWER,
        }
    };
    let sign_in = SignIn::new(&granted.access_token, &granted.refresh_token, granted.expires_in);
    let credentials = config::credentials()?;
    credentials.lock().await?.put(api.url(), sign_in)?;
    let who = Api::stored()?.whoami().await?;
    eprintln!("Signed in as {}; kept in {}", email(&who), credentials.path().display());
    if GITFAAS_TOKEN.text(&config::var).is_some() {
        eprintln!("GITFAAS_TOKEN is set, and goes before what was just kept");
    }
    Ok(ExitCode::SUCCESS)
}

async fn poll(api: &Api, device_code: &str) -> anyhow::Result<Poll> {
    let form = [("grant_type", DEVICE_CODE), ("device_code", device_code)];
    let response = api.outside(Method::POST, &["oauth", "token"]).form(&form).send().await;
    // The gateway may be restarted meanwhile; the code outlives that.
    let Ok(response) = response else { return Ok(Poll::Wait) };
    let status = response.status();
    let Ok(text) = response.text().await else { return Ok(Poll::Wait) };
    if status == StatusCode::OK {
        return Ok(Poll::Signed(serde_json::from_str(&text).context("the gateway's answer is not one")?));
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    match answer["error"].as_str() {
        Some("authorization_pending") => Ok(Poll::Wait),
        Some("slow_down") => Ok(Poll::SlowDown),
        Some("access_denied") => bail!("the request was denied in the browser"),
        Some("expired_token") => bail!("the code has expired; run `gitfaas login` again"),
        _ if status.is_server_error() => Ok(Poll::Wait),
        _ => bail!("{} ({status})", words(&text)),
    }
}

/// Opens a browser on a desktop; failure to do so is ignored.
fn open(address: &str) {
    let is_web = Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| config::var(name).is_some());
    if is_web && has_display && std::io::stderr().is_terminal() {
        let mut command = child::desktop_program("xdg-open");
        command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.spawn();
    }
}

fn email(who: &Value) -> String {
    terminal::safe(who["email"].as_str().unwrap_or_default()).into_owned()
}

pub(super) async fn logout() -> Done {
    let api = Api::anonymous()?;
    let locked = config::credentials()?.lock().await?;
    let Some(sign_in) = locked.get(api.url())? else {
        eprintln!("not signed in at {}", api.url());
        return Ok(ExitCode::SUCCESS);
    };
    let body = serde_json::json!({ "refresh_token": sign_in.refresh_token });
    let ended = api.json(api.request(Method::POST, &["auth", "logout"]).json(&body), "sign-in").await;
    // The local sign-in is removed in any case.
    locked.remove(api.url())?;
    ended.context("signed out here, but the gateway was not told")?;
    eprintln!("signed out at {}", api.url());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn whoami(args: JsonArgs) -> Done {
    let who = Api::from_env()?.whoami().await?;
    let out = Out::new();
    if args.json {
        out.json(&who)?;
    } else {
        out.line(&email(&who))?;
    }
    Ok(ExitCode::SUCCESS)
}
