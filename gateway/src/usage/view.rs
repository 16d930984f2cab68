//! `/api/v1/usage`: what an owner takes up, of how much, and what frees it.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::HeaderMap;
use jobs::{
    UserId,
    accounts::Scope,
    usage::{Kind, Resource},
};
use serde::{Deserialize, Serialize};

use crate::{api::view::List, error::ApiError, extract::Query, state::Gateway};

/// What is shown of one resource.
#[derive(Debug, Serialize)]
pub(crate) struct UsageView {
    resource: Resource,
    used: u64,
    limit: u64,
    /// `bytes` or `pieces`.
    unit: &'static str,
    /// `refused`: more is refused at the limit; `oldest_go`: the oldest goes.
    at_limit: &'static str,
    /// What frees it, in words.
    freed_by: &'static str,
}

/// Of `GET /api/v1/usage`.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// An owner's id or address; for admins.
    user: Option<String>,
}

/// `GET /api/v1/usage`
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<List<UsageView>>, ApiError> {
    let caller = gateway.reader(&headers).await?;
    caller.needs(Scope::JobsRead)?;
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
    Ok(Json(List { items: gateway.usage_of(owner)?, next: None }))
}

impl Gateway {
    /// What an owner takes up of everything, counted now.
    pub(crate) fn usage_of(&self, owner: UserId) -> Result<Vec<UsageView>, ApiError> {
        let history = self.history_of(owner)?;
        let view = |resource: Resource| UsageView {
            resource,
            used: match resource.kind() {
                Kind::Kept => self.kept(owner, resource),
                Kind::History => history.of(resource),
            },
            limit: self.limit_of(owner, resource),
            unit: if resource.is_in_bytes() { "bytes" } else { "pieces" },
            at_limit: match resource.kind() {
                Kind::Kept => "refused",
                Kind::History => "oldest_go",
            },
            freed_by: resource.freed_by(),
        };
        Ok(Resource::ALL.into_iter().map(view).collect())
    }
}
