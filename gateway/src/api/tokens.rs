//! `/api/v1/tokens`: a user's API tokens. A token's text is told once and stored nowhere.
//!
//! A token that another one makes may no more than its maker, and ends with it: neither its scopes nor
//! its time are a way around what the maker was given, and who revokes a token revokes what came of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;

use jobs::api::NewToken;

use crate::{
    api::view::{List, TokenView},
    auth::{
        rights::{AnyScope, Caller},
        tokens::ApiTokens,
    },
    error::ApiError,
    extract::JsonBody,
};

/// `POST /api/v1/tokens`
pub(crate) async fn make(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
    JsonBody(wishes): JsonBody<NewToken>,
) -> Result<Response, ApiError> {
    let (record, text) = api_tokens.make_token(&caller, wishes).await?;
    let view = TokenView { token: Some(text.expose().to_owned()), ..TokenView::from(&record) };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// `GET /api/v1/tokens`: newest first.
pub(crate) async fn list(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
) -> Result<Json<List<TokenView>>, ApiError> {
    let items = api_tokens.tokens_of(&caller).iter().map(TokenView::from).collect();
    Ok(Json(List { items, next: None }))
}

/// `DELETE /api/v1/tokens/{id}`: it is refused with the next request, at every gateway.
pub(crate) async fn revoke(
    caller: Caller<AnyScope>,
    State(api_tokens): State<Arc<ApiTokens>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    api_tokens.revoke_token(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
