//! `/api/v1/usage`: what an owner takes up, of how much, and what frees it.

use axum::{Json, extract::State};
use jobs::api::{Page, ShowUsage, Usage};

use crate::{
    api::responses::{BadRequest, NotFound, WithScope},
    auth::rights::{JobsRead, Reader},
    error::ApiError,
    extract::Query,
    state::Gateway,
};

/// What the caller takes up of each limit, and what frees it; of another owner for admins.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "api", operation_id = "usage",
    params(ShowUsage),
    responses(
        (status = 200, description = "Each limit.", body = Page<Usage>),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
    Query(params): Query<ShowUsage>,
) -> Result<Json<Page<Usage>>, ApiError> {
    let owner = match params.user {
        None => caller.user.id,
        Some(_) if !caller.is_admin() => {
            return Err(ApiError::Forbidden("an admin's token is needed".to_owned()));
        }
        Some(named) => {
            let found = gateway.users.find(|user| user.id.to_string() == named || user.email == named);
            found.first().map(|user| user.value.id).ok_or(ApiError::NotFound("user"))?
        }
    };
    Ok(Json(Page::whole(gateway.budgets.usage_of(owner).await?)))
}
