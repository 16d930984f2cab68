//! `/api/v1/auth/…` and `/api/v1/whoami`: a program renews its token, signs out, asks who it is.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jobs::{
    accounts::User,
    api::{OpenEnum, RefreshRequest, SignedIn, WhoAmI},
    audit::Action,
    sessions::Refreshed,
};

use crate::{
    api::{
        responses::{WithBody, WithScope, WithToken},
        sign_in::answer::token_response,
    },
    audit::AuditLog,
    auth::{
        identity::Access,
        rights::{AnyScope, Caller},
    },
    error::ApiError,
    extract::{JsonBody, json, read, without_byte_order_mark},
    http::MAX_BODY_BYTES,
    login::Login,
    state::Gateway,
};

/// A new bearer token.
///
/// The refresh token works once; one that comes again ends the sign-in.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "api", operation_id = "refresh",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "The tokens to use from now on.", body = SignedIn),
        WithToken,
        WithBody,
    ),
)]
pub(crate) async fn refresh(
    State(gateway): State<Gateway>,
    JsonBody(held): JsonBody<RefreshRequest>,
) -> Result<Response, ApiError> {
    match gateway.login.sessions.refresh(&held.refresh_token).await? {
        Refreshed::Fresh(session, _) if !gateway.sign_ins.is_still_allowed(&session).await? => {
            gateway.login.sessions.end(session.id).await?;
            gateway.audit.write(session.user, Action::SessionRevoked, "list").await;
            tracing::info!(user = %session.user, "a sign-in ended: it is not on the list any more");
            Err(ApiError::Unauthorized(
                "whoever signed in here may not any more; ask whoever runs this service",
            ))
        }
        Refreshed::Fresh(session, next) => {
            Ok(Json(token_response(&gateway, &session, &next)).into_response())
        }
        Refreshed::Reused(user) => {
            gateway.audit.write(user, Action::SessionRevoked, "refresh").await;
            tracing::warn!(%user, "a refresh token came twice; its sign-in was ended");
            Err(ApiError::Unauthorized("this refresh token was used before; the sign-in has ended"))
        }
        Refreshed::Unknown => Err(ApiError::Unauthorized("this sign-in has ended; sign in again")),
    }
}

/// Ends the sign-in of the refresh token, or without a body that of the bearer token.
///
/// Every token of it is refused from then on.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "api", operation_id = "logout",
    request_body = Option<RefreshRequest>,
    responses(
        (status = 204, description = "Ended, everywhere."),
        WithScope,
        WithBody,
    ),
    security((), ("bearer" = [])),
)]
pub(crate) async fn logout(
    State(access): State<Arc<Access>>,
    State(audit): State<AuditLog>,
    State(login): State<Arc<Login>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let bytes = read(body, MAX_BODY_BYTES).await?;
    let sessions = &login.sessions;
    if without_byte_order_mark(&bytes).trim_ascii().is_empty() {
        let caller = access.bearer_caller(&headers).await?;
        let session = caller.session.ok_or_else(|| {
            ApiError::BadRequest("this is an API token; DELETE /api/v1/tokens/{id} revokes it".to_owned())
        })?;
        sessions.end(session).await?;
        audit.write(&caller, Action::SignedOut, session).await;
        tracing::info!(user = %caller.user.id, "signed out");
        return Ok(StatusCode::NO_CONTENT);
    }
    let held: RefreshRequest = json(&bytes)?;
    // Using it up proves it; one that was used before ends the session all the same.
    if let Refreshed::Fresh(session, _) = sessions.refresh(&held.refresh_token).await? {
        sessions.end(session.id).await?;
        audit.write(session.user, Action::SignedOut, session.id).await;
        tracing::info!(user = %session.user, "signed out");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who the token belongs to.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "api", operation_id = "whoami",
    responses(
        (status = 200, description = "The user.", body = WhoAmI),
        WithScope,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn whoami(caller: Caller<AnyScope>) -> Result<Json<WhoAmI>, ApiError> {
    let scopes = caller.scopes().iter().copied().map(OpenEnum::Known).collect();
    let User { id, email, admin, labels, .. } = caller.identity.user;
    Ok(Json(WhoAmI { id, email, admin, labels, scopes }))
}
