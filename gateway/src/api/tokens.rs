//! `/api/v1/tokens`: a user's API tokens. A token's text is told once and stored nowhere.
//!
//! A token that another one makes may no more than its maker, and ends with it: neither its scopes nor
//! its time are a way around what the maker was given, and who revokes a token revokes what came of it.
//! One that may only call functions makes, lists and revokes none.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::api::{self, NewToken, Page, Token};

use crate::{
    api::responses::{BadRequest, NotFound, WithBody, WithScope},
    auth::{
        rights::{AnyScope, Caller},
        tokens::ApiTokens,
    },
    error::ApiError,
    extract::JsonBody,
};

/// Make an API token.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "api", operation_id = "makeToken",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, with its text.", body = Token),
        WithScope,
        WithBody,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn make(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
    JsonBody(wishes): JsonBody<NewToken>,
) -> Result<Response, ApiError> {
    let (record, text) = api_tokens.make_token(&caller, wishes).await?;
    let view = Token { token: Some(text.expose().to_owned()), ..Token::from(&record) };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// The caller's tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "api", operation_id = "listTokens",
    responses(
        (status = 200, description = "All of them.", body = Page<Token>),
        WithScope,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
) -> Result<Json<Page<Token>>, ApiError> {
    let items = api_tokens.tokens_of(&caller).iter().map(Token::from).collect();
    Ok(Json(Page::whole(items)))
}

/// Revoke a token, and those that it made.
///
/// It is refused with the next request, at every gateway.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "api", operation_id = "revokeToken",
    params(("id" = String, Path, description = "The token.")),
    responses(
        (status = 204, description = "Revoked."),
        (status = 409, description = "Changed in between.", body = api::Error),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn revoke(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    api_tokens.revoke_token(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
