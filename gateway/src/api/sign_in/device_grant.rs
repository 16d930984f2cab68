//! The device's side: `POST /oauth/device` and `POST /oauth/token`, as RFC 8628 has them.

use std::{collections::HashMap, time::Instant};

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use jobs::{
    Secret,
    api::{DeviceCode, DeviceError, DeviceErrorCode, DeviceToken, TokenRequest, TokenType},
    audit::Action,
    bucket::Entry,
    sessions::{Holder, NewSession, PROGRAM_LIFE, Session},
};

use crate::{
    api::responses::{SignIn, TokenError, WithBody},
    auth::bearer_tokens::scope_claim,
    error::ApiError,
    extract::{json, read, without_byte_order_mark},
    http::{MAX_BODY_BYTES, client_ip},
    login::device::{
        GrantState, LIFETIME, Request,
        poll_throttle::{INTERVAL, PollCheck},
        request_key,
    },
    state::Gateway,
};

/// The one kind of grant that is given here.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How a session of a device is named in its record.
pub(crate) const PROVIDER: &str = "device";

/// The fields of a form; JSON is taken too.
async fn fields(body: Body) -> Result<HashMap<String, String>, ApiError> {
    let bytes = read(body, MAX_BODY_BYTES).await?;
    if without_byte_order_mark(&bytes).trim_ascii().first() == Some(&b'{') {
        return json(&bytes);
    }
    Ok(url::form_urlencoded::parse(&bytes).into_owned().collect())
}

/// A program begins to sign in with a code (RFC 8628).
#[utoipa::path(
    post, path = "/oauth/device", tag = "api", operation_id = "beginDevice",
    responses(
        (status = 200, description = "What to show, and how often to ask.", body = DeviceCode),
        SignIn,
    ),
)]
pub(crate) async fn begin(State(gateway): State<Gateway>) -> Result<Response, ApiError> {
    let slot = gateway.limits.check_device(client_ip::address())?;
    let begun = gateway.login.devices.begin(slot).await?;
    let mut page = gateway.public_url.join("device").expect("a word is a path");
    let uri = page.to_string();
    page.query_pairs_mut().append_pair("user_code", &begun.user_code);
    Ok(Json(DeviceCode {
        device_code: begun.device_code,
        expires_in: LIFETIME.as_secs(),
        interval: INTERVAL.as_secs(),
        user_code: begun.user_code,
        verification_uri: uri,
        verification_uri_complete: Some(page.into()),
    })
    .into_response())
}

/// Why no token is given (RFC 6749, section 5.2; RFC 8628, section 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GrantError {
    Pending,
    SlowDown,
    Expired,
    Denied,
    Invalid,
    AnotherGrant,
    NoCode,
}

impl GrantError {
    fn code(self) -> DeviceErrorCode {
        match self {
            Self::Pending => DeviceErrorCode::AuthorizationPending,
            Self::SlowDown => DeviceErrorCode::SlowDown,
            Self::Expired => DeviceErrorCode::ExpiredToken,
            Self::Denied => DeviceErrorCode::AccessDenied,
            Self::Invalid => DeviceErrorCode::InvalidGrant,
            Self::AnotherGrant => DeviceErrorCode::UnsupportedGrantType,
            Self::NoCode => DeviceErrorCode::InvalidRequest,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Pending => "nobody has said yes yet",
            Self::SlowDown => "wait five seconds longer between two requests from now on",
            Self::Expired => "the code has expired; begin again",
            Self::Denied => "the request was denied",
            Self::Invalid => "the tokens of this code were fetched before",
            Self::AnotherGrant => "only device codes are taken here; see POST /api/v1/auth/refresh",
            Self::NoCode => "device_code is missing",
        }
    }
}

impl IntoResponse for GrantError {
    fn into_response(self) -> Response {
        let body =
            DeviceError { error: self.code().into(), error_description: Some(self.message().to_owned()) };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

/// The tokens of a device code that was allowed (RFC 8628).
#[utoipa::path(
    post, path = "/oauth/token", tag = "api", operation_id = "deviceToken",
    request_body(content((TokenRequest = "application/x-www-form-urlencoded"), (TokenRequest = "application/json"))),
    responses(
        (status = 200, description = "Signed in.", body = DeviceToken),
        SignIn,
        WithBody,
        (status = 400, description = "Not (yet).", body = TokenError),
    ),
)]
pub(crate) async fn token(State(gateway): State<Gateway>, body: Body) -> Result<Response, ApiError> {
    let fields = fields(body).await?;
    if fields.get("grant_type").is_none_or(|kind| kind != DEVICE_CODE) {
        return Ok(GrantError::AnotherGrant.into_response());
    }
    let Some(code) = fields.get("device_code").filter(|code| !code.is_empty()) else {
        return Ok(GrantError::NoCode.into_response());
    };
    let key = request_key(code);
    let devices = &gateway.login.devices;
    // One that NATS has forgotten has expired; so has one that never was.
    let Some(entry) = devices.requests.get(&key).await? else {
        return Ok(GrantError::Expired.into_response());
    };
    let refused = match entry.value.answer {
        _ if entry.value.expires_at <= Timestamp::now() => GrantError::Expired,
        GrantState::Waiting => match devices.polls.record(&key, Instant::now()) {
            PollCheck::Allowed => GrantError::Pending,
            PollCheck::SlowDown => GrantError::SlowDown,
        },
        GrantState::Denied => GrantError::Denied,
        GrantState::Used => GrantError::Invalid,
        GrantState::Allowed => match fetch(&gateway, &entry).await? {
            Some((session, held)) => {
                devices.polls.forget(&key);
                return Ok(granted(&gateway, &session, &held));
            }
            None => GrantError::Invalid,
        },
    };
    if !matches!(refused, GrantError::Pending | GrantError::SlowDown) {
        devices.polls.forget(&key);
    }
    Ok(refused.into_response())
}

/// Uses a yes up, and begins the session. Who loses the race gets nothing.
async fn fetch(gateway: &Gateway, entry: &Entry<Request>) -> Result<Option<(Session, Secret)>, ApiError> {
    let Some(user) = entry.value.user else { return Ok(None) };
    let used = Request { answer: GrantState::Used, ..entry.value.clone() };
    match gateway.login.devices.requests.update(&entry.key, &used, entry.revision).await {
        Ok(_) => {}
        Err(error) if error.is_conflict() => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let new = NewSession {
        user,
        holder: Holder::Program,
        scopes: entry.value.scopes.clone(),
        provider: PROVIDER,
        let_in: entry.value.let_in.clone(),
        life: PROGRAM_LIFE,
        until: entry.value.until,
        made_by: entry.value.made_by.clone(),
    };
    let begun = gateway.login.sessions.begin(new).await?;
    gateway.audit.write(user, Action::SignedIn, PROVIDER).await;
    tracing::info!(%user, "a device signed in");
    Ok(Some(begun))
}

fn granted(gateway: &Gateway, session: &Session, held: &Secret) -> Response {
    let (token, expires_in) = gateway.login.bearer_tokens.sign(session);
    Json(DeviceToken {
        access_token: token,
        expires_in,
        refresh_token: held.expose().to_owned(),
        scope: scope_claim(&session.scopes),
        token_type: TokenType::Bearer,
    })
    .into_response()
}
