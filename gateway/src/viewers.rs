//! Who may look at a repository's jobs without owning it.
//!
//! An owner names people by their id, or by an address where exactly one user has it. What is kept is
//! the id: an address is not identity.

use jobs::{
    UserId,
    accounts::{OPERATOR, OwnerKind, User},
};
use serde::Serialize;

use crate::{error::ApiError, gateway::Gateway};

/// Viewers of one repository: a team, not a public.
const MAX_VIEWERS: usize = 100;

/// A viewer as he is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ViewerView {
    id: UserId,
    /// Absent where nobody knows him any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl Gateway {
    /// The users that these words name.
    pub(crate) async fn viewers_named(&self, words: &[String]) -> Result<Vec<UserId>, ApiError> {
        if words.len() > MAX_VIEWERS {
            return Err(ApiError::BadRequest(format!("viewers: more than {MAX_VIEWERS}")));
        }
        let mut viewers = Vec::new();
        for word in words {
            let viewer = self.viewer_named(word.trim()).await?;
            if !viewers.contains(&viewer) {
                viewers.push(viewer);
            }
        }
        Ok(viewers)
    }

    async fn viewer_named(&self, word: &str) -> Result<UserId, ApiError> {
        let id = word.parse::<UserId>().ok();
        let is_meant = |user: &User| match id {
            Some(id) => user.id == id,
            None => user.email.eq_ignore_ascii_case(word),
        };
        let mut found = self.users.find(|user| user.kind == OwnerKind::User && is_meant(user));
        if found.is_empty() {
            // Made a moment ago.
            let accounts = &self.ledger.accounts;
            let made = match id {
                Some(id) => accounts.users.get(&id.to_string()).await?,
                None => accounts.find(OPERATOR, &word.to_lowercase()).await?,
            };
            found.extend(made.filter(|entry| entry.value.kind == OwnerKind::User));
        }
        // What was named is shown again as it came, and may be anything.
        let named: String = word.chars().filter(|c| !c.is_control()).take(200).collect();
        match found.as_slice() {
            [one] => Ok(one.value.id),
            [] => Err(ApiError::BadRequest(format!("viewers: there is no user {named}"))),
            [..] => Err(ApiError::BadRequest(format!(
                "viewers: several users have the address {named}; name one by his id"
            ))),
        }
    }

    /// Viewers as they are shown.
    pub(crate) fn viewers_shown(&self, ids: &[UserId]) -> Vec<ViewerView> {
        let shown = |id: &UserId| {
            let found = self.users.find(|user| user.id == *id);
            ViewerView { id: *id, email: found.first().map(|entry| entry.value.email.clone()) }
        };
        ids.iter().map(shown).collect()
    }
}
