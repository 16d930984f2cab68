//! `/api/v1/tokens`: a user's API tokens. A token's text is told once and stored nowhere.
//!
//! A token that another one makes may no more than its maker, and ends with it: neither its scopes nor
//! its time are a way around what the maker was given, and who revokes a token revokes what came of it.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

use crate::{
    api::view::{List, TokenView},
    auth::tokens::Wishes,
    error::ApiError,
    extract::Wanted,
    state::Gateway,
};

/// `POST /api/v1/tokens`
pub(crate) async fn make(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Response, ApiError> {
    let caller = gateway.access.caller(&headers).await?;
    let (record, text) = gateway.api_tokens.make_token(&caller, wishes).await?;
    let view = TokenView { token: Some(text.expose().to_owned()), ..TokenView::from(&record) };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// `GET /api/v1/tokens`: newest first.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Json<List<TokenView>>, ApiError> {
    let caller = gateway.access.caller(&headers).await?;
    let items = gateway.api_tokens.tokens_of(&caller).iter().map(TokenView::from).collect();
    Ok(Json(List { items, next: None }))
}

/// `DELETE /api/v1/tokens/{id}`: it is refused with the next request, at every gateway.
pub(crate) async fn revoke(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let caller = gateway.access.caller(&headers).await?;
    gateway.api_tokens.revoke_token(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
