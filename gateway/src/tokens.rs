//! `/api/v1/tokens`: a user's API tokens. A token's text is told once and stored nowhere.

use std::{str::FromStr as _, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use jobs::{
    TokenId,
    accounts::{ALL_SCOPES, Scope},
    audit::Action,
    units,
};
use serde::Deserialize;

use crate::{
    body::Wanted,
    error::ApiError,
    gateway::Gateway,
    view::{List, TokenView},
};

/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// What a new token is to be.
#[derive(Deserialize)]
pub(crate) struct Wishes {
    #[serde(default)]
    name: String,
    scopes: Option<Vec<Scope>>,
    /// Such as `90d`; absent means it does not expire.
    expires_in: Option<String>,
}

/// `POST /api/v1/tokens`: never with more scopes than the token that asks.
pub(crate) async fn make(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Wanted(wishes): Wanted<Wishes>,
) -> Result<Response, ApiError> {
    let caller = gateway.caller(&headers).await?;
    if wishes.name.len() > MAX_NAME_BYTES {
        return Err(ApiError::BadRequest(format!("name: longer than {MAX_NAME_BYTES} bytes")));
    }
    let scopes = match wishes.scopes {
        Some(scopes) => scopes,
        None => ALL_SCOPES.into_iter().filter(|scope| caller.needs(*scope).is_ok()).collect(),
    };
    scopes.iter().try_for_each(|scope| caller.needs(*scope))?;
    let most = gateway.config.limits.max_tokens_per_user;
    if gateway.tokens.find(|token| token.user == caller.user.id).len() >= most {
        return Err(ApiError::TooMany(format!("{most} tokens are the limit; delete one")));
    }
    let expires_at = wishes.expires_in.as_deref().map(expiry).transpose()?;
    let accounts = &gateway.ledger.accounts;
    let (record, text) = accounts.make_token(caller.user.id, &wishes.name, &scopes, expires_at).await?;
    if let Some(entry) = accounts.tokens.get(&record.id.to_string()).await? {
        gateway.tokens.note(entry);
    }
    gateway.audit(&caller, Action::TokenMade, record.id).await;
    tracing::info!(token = %record.id, user = %caller.user.id, "a token was made");
    let view = TokenView { token: Some(text.expose().to_owned()), ..TokenView::from(&record) };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

fn expiry(text: &str) -> Result<Timestamp, ApiError> {
    let wrong = |why: String| ApiError::BadRequest(format!("expires_in: {why}"));
    let life = units::duration(text).map_err(|error| wrong(error.to_string()))?;
    let life = SignedDuration::try_from(life).map_err(|_| wrong("too long".to_owned()))?;
    Timestamp::now().checked_add(life).map_err(|_| wrong("too long".to_owned()))
}

/// `GET /api/v1/tokens`: newest first.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Json<List<TokenView>>, ApiError> {
    let caller = gateway.caller(&headers).await?;
    let mut found = gateway.tokens.find(|token| token.user == caller.user.id);
    found.sort_by_key(|entry| std::cmp::Reverse(entry.value.id));
    Ok(Json(List { items: found.iter().map(|entry| TokenView::from(&entry.value)).collect(), next: None }))
}

/// `DELETE /api/v1/tokens/{id}`: it is refused with the next request, at every gateway. A token that was
/// narrowed ends itself, and none that may more.
pub(crate) async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let caller = gateway.caller(&headers).await?;
    let missing = || ApiError::NotFound("token");
    let id = TokenId::from_str(&id).map_err(|_| missing())?;
    let tokens = &gateway.ledger.accounts.tokens;
    loop {
        let found = tokens.get(&id.to_string()).await?;
        let entry = found
            .filter(|entry| entry.value.user == caller.user.id || caller.is_admin())
            .ok_or_else(missing)?;
        if entry.value.id != caller.token {
            entry.value.scopes.iter().try_for_each(|scope| caller.needs(*scope))?;
        }
        match tokens.delete(&entry.key, entry.revision).await {
            Ok(()) => break,
            // Its use was noted in between.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    gateway.tokens.forget(&id.to_string());
    gateway.audit(&caller, Action::TokenRevoked, id).await;
    tracing::info!(token = %id, user = %caller.user.id, by = %caller.token, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}
