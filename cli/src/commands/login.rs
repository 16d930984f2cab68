//! `gitfaas login`, `logout`, `whoami`: signs this machine's user in with a code (RFC 8628).

use std::{
    io::IsTerminal as _,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jobs::api::{
    DeviceCode, DeviceError, DeviceErrorCode, DeviceToken, GrantType, RefreshRequest, TokenRequest, WhoAmI,
};
use jobs::settings::GITFAAS_TOKEN;
use reqwest::{Method, StatusCode};
use serde::de::IgnoredAny;
use url::Url;

use crate::{
    api::{Api, words},
    args::JsonArgs,
    child, config,
    credentials::SignIn,
    exit::CommandResult,
    out::Stdout,
    terminal,
};

/// What `slow_down` adds to the interval.
const SLOWER: Duration = Duration::from_secs(5);
/// A gateway that asks for more often or more seldom than this means something else.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

/// What became of a poll.
enum Poll {
    Signed(DeviceToken),
    Wait,
    SlowDown,
}

pub(super) async fn login() -> CommandResult {
    let api = Api::anonymous()?;
    let request = api.outside(Method::POST, &["oauth", "device"]);
    let begun: DeviceCode = api.json(request, "sign-in at this gateway").await?;
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
    let form = TokenRequest { grant_type: GrantType::DeviceCode, device_code: device_code.to_owned() };
    let response = api.outside(Method::POST, &["oauth", "token"]).form(&form).send().await;
    // The gateway may be restarted meanwhile; the code outlives that.
    let Ok(response) = response else { return Ok(Poll::Wait) };
    let status = response.status();
    let Ok(text) = response.text().await else { return Ok(Poll::Wait) };
    if status == StatusCode::OK {
        return Ok(Poll::Signed(serde_json::from_str(&text).context("the gateway's answer is not one")?));
    }
    let code = serde_json::from_str(&text).ok().and_then(|answer: DeviceError| answer.error.known().copied());
    match code {
        Some(DeviceErrorCode::AuthorizationPending) => Ok(Poll::Wait),
        Some(DeviceErrorCode::SlowDown) => Ok(Poll::SlowDown),
        Some(DeviceErrorCode::AccessDenied) => bail!("the request was denied in the browser"),
        Some(DeviceErrorCode::ExpiredToken) => bail!("the code has expired; run `gitfaas login` again"),
        Some(
            DeviceErrorCode::InvalidGrant
            | DeviceErrorCode::InvalidRequest
            | DeviceErrorCode::UnsupportedGrantType,
        )
        | None => match status.is_server_error() {
            true => Ok(Poll::Wait),
            false => bail!("{} ({status})", words(&text)),
        },
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

fn email(who: &WhoAmI) -> String {
    terminal::safe(&who.email).into_owned()
}

pub(super) async fn logout() -> CommandResult {
    let api = Api::anonymous()?;
    let locked = config::credentials()?.lock().await?;
    let Some(sign_in) = locked.get(api.url())? else {
        eprintln!("not signed in at {}", api.url());
        return Ok(ExitCode::SUCCESS);
    };
    let body = RefreshRequest { refresh_token: sign_in.refresh_token };
    let request = api.request(Method::POST, &["auth", "logout"]).json(&body);
    let ended = api.json::<IgnoredAny>(request, "sign-in").await;
    // Here it ends in any case: whoever says so must be able to rely on it.
    locked.remove(api.url())?;
    ended.context("signed out here, but the gateway was not told")?;
    eprintln!("signed out at {}", api.url());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn whoami(args: JsonArgs) -> CommandResult {
    let who = Api::from_env()?.whoami().await?;
    let out = Stdout::new();
    if args.json {
        out.json(&who)?;
    } else {
        out.line(&email(&who))?;
    }
    Ok(ExitCode::SUCCESS)
}
