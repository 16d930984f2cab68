//! `/api/v1/functions`: what a caller may call.

use axum::{Json, extract::State};
use jobs::{
    Repo,
    api::{Function, FunctionRole, OpenEnum, Page},
};

use crate::{
    api::responses::WithScope,
    auth::{
        identity::Identity,
        rights::{JobsRead, Reader},
    },
    error::ApiError,
    state::Gateway,
};

/// Functions that the caller owns or views, by name; an admin sees all.
#[utoipa::path(
    get, path = "/api/v1/functions", tag = "api", operation_id = "listFunctions",
    responses(
        (status = 200, description = "All of them.", body = Page<Function>),
        WithScope,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    caller: Reader<JobsRead>,
    State(gateway): State<Gateway>,
) -> Result<Json<Page<Function>>, ApiError> {
    let found = gateway.repos.find(|repo| caller.can_view(repo) && !repo.is_removing());
    let mut items: Vec<Function> = found.iter().filter_map(|entry| function(&caller, &entry.value)).collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(Page::whole(items)))
}

/// The function of a registration, once it has a name.
fn function(caller: &Identity, repo: &Repo) -> Option<Function> {
    let role = if repo.owner == caller.user.id {
        FunctionRole::Owner
    } else if repo.is_viewed_by(&caller.user) {
        FunctionRole::Viewer
    } else {
        FunctionRole::Admin
    };
    let name = repo.function.as_ref()?.to_string();
    Some(Function { name, repo: repo.id, url: repo.url.to_string(), role: OpenEnum::Known(role) })
}
