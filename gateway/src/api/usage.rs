//! `/api/v1/usage`: what an owner takes up, of how much, and what frees it.

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    api::view::List,
    auth::rights::{JobsRead, Reader},
    error::ApiError,
    extract::Query,
    state::Gateway,
};

/// Of `GET /api/v1/usage`.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// An owner's id or address; for admins.
    user: Option<String>,
}

/// `GET /api/v1/usage`
pub(crate) async fn show(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(asked): Query<Asked>,
) -> Result<Json<List<jobs::api::Usage>>, ApiError> {
    let owner = match asked.user {
        None => caller.user.id,
        Some(_) if !caller.is_admin() => {
            return Err(ApiError::Forbidden("an admin's token is needed".to_owned()));
        }
        Some(named) => {
            let found = gateway.users.find(|user| user.id.to_string() == named || user.email == named);
            found.first().map(|user| user.value.id).ok_or(ApiError::NotFound("user"))?
        }
    };
    Ok(Json(List { items: gateway.budgets.usage_of(owner)?, next: None }))
}
