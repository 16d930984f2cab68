//! Creates, lists and revokes API tokens.

use std::{str::FromStr as _, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use jobs::{
    Ledger, RepoId, Secret, TokenId,
    accounts::{self, Scope, TokenRecord},
    api::NewToken,
    audit::Action,
    units,
    usage::Resource,
};

use crate::{
    audit::AuditLog,
    auth::identity::{Access, Identity},
    error::ApiError,
    index::mirror::Mirror,
    usage::Budgets,
};

/// How many ancestors a token may have: each use of it reads all of them.
const MAX_ANCESTORS: usize = 8;
/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Creates, lists and revokes API tokens.
pub(crate) struct ApiTokens {
    pub(crate) ledger: Ledger,
    pub(crate) tokens: Arc<Mirror<TokenRecord>>,
    pub(crate) audit: AuditLog,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) access: Arc<Access>,
}

impl ApiTokens {
    /// Creates a token for the caller; its text is returned here and nowhere else.
    pub(crate) async fn make_token(
        &self,
        caller: &Identity,
        request: NewToken,
    ) -> Result<(TokenRecord, Secret), ApiError> {
        if request.name.len() > MAX_NAME_BYTES {
            return Err(ApiError::BadRequest(format!("name: longer than {MAX_NAME_BYTES} bytes")));
        }
        let scopes = request.scopes.unwrap_or_else(|| match request.functions {
            Some(_) => vec![Scope::Invoke],
            None => caller.scopes().to_vec(),
        });
        scopes.iter().try_for_each(|scope| caller.require_scope(*scope))?;
        let expires_at = expiry(request.expires_in.as_deref(), caller.expires_at, Timestamp::now())?;
        if caller.lineage.len() > MAX_ANCESTORS {
            let why = "this token came of too many others to make one; make it with one of those";
            return Err(ApiError::BadRequest(why.to_owned()));
        }
        let functions = match &request.functions {
            Some(named) => Some(self.named_functions(caller, named).await?),
            None => None,
        };
        let id = TokenId::new();
        let new = accounts::NewToken {
            id,
            user: caller.user.id,
            name: &request.name,
            scopes: &scopes,
            functions: functions.as_deref(),
            expires_at,
            made_by: &caller.lineage,
        };
        new.check_binding().map_err(|error| ApiError::BadRequest(format!("functions: {error}")))?;
        self.budgets.reserve(caller.user.id, id, Resource::Tokens, 1).await?;
        let accounts = &self.ledger.accounts;
        let (record, text) = accounts.mint(&new).await?;
        if let Some(entry) = accounts.tokens.get(&record.id.to_string()).await? {
            self.tokens.note(entry);
        }
        self.audit.write(caller, Action::TokenMade, record.id).await;
        tracing::info!(token = %record.id, user = %caller.user.id, "token created");
        Ok((record, text))
    }

    /// The repositories of a list, each of which the caller owns or views.
    async fn named_functions(&self, caller: &Identity, named: &[String]) -> Result<Vec<RepoId>, ApiError> {
        let mut functions = Vec::new();
        for (position, id) in named.iter().enumerate() {
            let missing = || ApiError::BadRequest(format!("functions[{position}]: no such repository"));
            let found = self.access.visible_repo(caller, id.trim()).await;
            let repo = match found {
                Ok(entry) => entry.value.id,
                Err(ApiError::NotFound(_)) => return Err(missing()),
                Err(error) => return Err(error),
            };
            if !functions.contains(&repo) {
                functions.push(repo);
            }
        }
        Ok(functions)
    }

    /// The caller's tokens, newest first.
    pub(crate) fn tokens_of(&self, caller: &Identity) -> Vec<TokenRecord> {
        let found = self.tokens.find(|token| token.user == caller.user.id);
        let mut found: Vec<TokenRecord> = found.into_iter().map(|entry| entry.value).collect();
        found.sort_by_key(|token| std::cmp::Reverse(token.id));
        found
    }

    /// Revokes a token and all its descendants. A narrowed token may revoke itself, and none with more scopes.
    pub(crate) async fn revoke_token(&self, caller: &Identity, id: &str) -> Result<(), ApiError> {
        let missing = || ApiError::NotFound("token");
        let id = TokenId::from_str(id).map_err(|_| missing())?;
        let may = |token: &TokenRecord| {
            if token.user != caller.user.id && !caller.is_admin() {
                return Err(missing());
            }
            match token.id == caller.token {
                true => Ok(()),
                false => token.scopes.iter().try_for_each(|scope| caller.require_scope(*scope)),
            }
        };
        if !self.delete_token(id, may).await? {
            return Err(missing());
        }
        self.audit.write(caller, Action::TokenRevoked, id).await;
        tracing::info!(token = %id, user = %caller.user.id, by = %caller.token, "token revoked");
        // None of these is valid any more, whether or not it can be deleted now.
        for child in self.tokens.find(|token| token.made_by.contains(&id)) {
            let child = child.value.id;
            match self.delete_token(child, |_| Ok(())).await {
                Ok(true) => {
                    let why = format!("made by {id}");
                    self.audit.write_with(caller, Action::TokenRevoked, child, Some(why)).await;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(token = %child, %error, "revoked token not deleted"),
            }
        }
        Ok(())
    }

    /// Deletes a token if `may` allows it; returns whether there was one.
    async fn delete_token(
        &self,
        id: TokenId,
        may: impl Fn(&TokenRecord) -> Result<(), ApiError>,
    ) -> Result<bool, ApiError> {
        let tokens = &self.ledger.accounts.tokens;
        let key = id.to_string();
        let user = loop {
            let Some(entry) = tokens.get(&key).await? else { return Ok(false) };
            may(&entry.value)?;
            match tokens.delete(&key, entry.revision).await {
                Ok(()) => break entry.value.user,
                // Its last use was recorded in between.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.tokens.forget(&key);
        self.budgets.release(user, &key);
        Ok(true)
    }
}

/// When a new token expires, from the requested lifetime and the expiry `latest` of the token that creates it.
fn expiry(
    wished: Option<&str>,
    latest: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = wished else { return Ok(latest) };
    let wrong = |why: String| ApiError::BadRequest(format!("expires_in: {why}"));
    let life = units::duration(text).map_err(|error| wrong(error.to_string()))?;
    if life.is_zero() {
        return Err(wrong("must be longer than nothing".to_owned()));
    }
    let life = SignedDuration::try_from(life).map_err(|_| wrong("too long".to_owned()))?;
    let ends = now.checked_add(life).map_err(|_| wrong("too long".to_owned()))?;
    match latest.filter(|latest| ends > *latest) {
        Some(latest) => {
            let latest = latest.strftime("%Y-%m-%d %H:%M:%S UTC");
            Err(wrong(format!("longer than the token that asks is good for, which ends at {latest}")))
        }
        None => Ok(Some(ends)),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(None, None => Ok(None) ; "it does not end")]
    #[test_case(None, Some(60) => Ok(Some(60)) ; "with its maker")]
    #[test_case(Some("60s"), None => Ok(Some(60)))]
    #[test_case(Some("59s"), Some(60) => Ok(Some(59)))]
    #[test_case(Some("1m"), Some(60) => Ok(Some(60)) ; "as long as its maker")]
    #[test_case(Some("61s"), Some(60) => Err("expires_in: longer than the token that asks is good for, \
        which ends at 1970-01-01 00:01:00 UTC".to_owned()) ; "longer than its maker")]
    #[test_case(Some("0s"), None => Err("expires_in: must be longer than nothing".to_owned()))]
    #[test_case(Some("soon"), None => matches Err(_))]
    #[test_case(Some("-1d"), None => matches Err(_) ; "in the past")]
    #[test_case(Some("99999999999d"), None => Err("expires_in: too long".to_owned()) ; "beyond the calendar")]
    fn ends_after_s(wished: Option<&str>, maker_ends_after_s: Option<i64>) -> Result<Option<i64>, String> {
        let latest = maker_ends_after_s.map(|s| Timestamp::from_second(s).unwrap());
        let ends = expiry(wished, latest, Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())?;
        Ok(ends.map(Timestamp::as_second))
    }
}
