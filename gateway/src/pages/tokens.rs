//! `/tokens`: one's API tokens, a form that makes one, and a button that ends each.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{Redirect, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use jobs::{
    accounts::{Scope, TokenRecord},
    api::NewToken,
};

use crate::{
    auth::{
        identity::Identity,
        rights::{AnyScope, SessionCaller},
        tokens::ApiTokens,
    },
    error::ApiError,
    html::{
        PageError,
        form::{CsrfForm, FormCaller},
        html,
        on_page::OnPage,
    },
    login::Login,
    state::Gateway,
};

/// What the form offers as an end, besides none.
const LIVES: [(&str, &str); 4] =
    [("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"), ("365d", "1 year")];
/// What it offers first: long enough to be of use, short enough to be looked at again.
const USUAL_LIFE: &str = "90d";

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage<'a> {
    email: &'a str,
    form: String,
    /// Why the form was refused; empty otherwise.
    message: &'a str,
    /// The text of the token that was just made.
    made: Option<&'a str>,
    tokens: Vec<TokenRow>,
    scopes: Vec<(&'static str, &'static str)>,
    /// What `expires_in` may be, with words for it.
    lives: Vec<(&'static str, String)>,
    usual_life: &'static str,
}

/// A token as the page shows it.
struct TokenRow {
    id: String,
    name: String,
    scopes: String,
    /// Ids of the repositories whose functions it may call; empty where it is not bound to any.
    functions: Vec<String>,
    made_at: String,
    expires_at: String,
    last_used_at: String,
    /// Whether this browser's cookie holds it.
    is_this: bool,
}

impl TokenRow {
    fn of(token: &TokenRecord, caller: &Identity, now: Timestamp) -> Self {
        let words: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let expires_at = match token.expires_at {
            None => "never".to_owned(),
            Some(at) if at <= now => format!("has expired, {}", day(at)),
            Some(at) => minute(at),
        };
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            scopes: words.join(", "),
            functions: token.functions.iter().flatten().map(ToString::to_string).collect(),
            made_at: minute(token.made_at()),
            expires_at,
            last_used_at: token.last_used_at.map_or_else(|| "never".to_owned(), minute),
            is_this: token.id == caller.token,
        }
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::JobsRead => "see jobs, results, logs and repositories",
        Scope::JobsWrite => "submit, cancel and repeat jobs",
        Scope::Repos => "register, change and remove repositories",
        Scope::Admin => "what an admin may",
        Scope::Invoke => "call functions, and nothing else",
    }
}

/// The scopes that the caller can give away, with what they mean.
fn scopes_of(caller: &Identity) -> Vec<(&'static str, &'static str)> {
    let can_give =
        |scope: &Scope| caller.require_scope(*scope).is_ok() && (*scope != Scope::Admin || caller.user.admin);
    Scope::KNOWN.into_iter().filter(can_give).map(|scope| (scope.as_str(), scope_text(scope))).collect()
}

/// The ends that the caller can give: none beyond the end of the caller's own token.
fn lifetime_choices(caller: &Identity, now: Timestamp) -> Vec<(&'static str, String)> {
    let fits = |life: &str| match (caller.expires_at, jobs::units::duration(life)) {
        (Some(latest), Ok(life)) => now + life <= latest,
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    };
    let last = match caller.expires_at {
        Some(latest) => format!("with the token you are signed in with, {}", minute(latest)),
        None => "never".to_owned(),
    };
    let fitting = LIVES.into_iter().filter(|(life, _)| fits(life));
    fitting.map(|(life, name)| (life, name.to_owned())).chain([("", last)]).collect()
}

fn page(
    gateway: &Gateway,
    session: &str,
    caller: &Identity,
    status: StatusCode,
    message: &str,
    made: Option<&str>,
) -> Response {
    let now = Timestamp::now();
    let tokens = gateway.api_tokens.tokens_of(caller);
    let page = TokensPage {
        email: &caller.user.email,
        form: gateway.keys.form(session),
        message,
        made,
        tokens: tokens.iter().map(|token| TokenRow::of(token, caller, now)).collect(),
        scopes: scopes_of(caller),
        lives: lifetime_choices(caller, now),
        usual_life: USUAL_LIFE,
    };
    html(status, &page)
}

/// `GET /tokens`
pub(crate) async fn show(
    caller: OnPage<SessionCaller<AnyScope>>,
    State(gateway): State<Gateway>,
) -> Result<Response, PageError> {
    Ok(page(&gateway, &caller.cookie, &caller, StatusCode::OK, "", None))
}

/// What the fields of the form wish for. A box that is not ticked is not sent, so none at all is a
/// mistake, not a wish for everything.
fn new_token(fields: &[(String, String)]) -> Result<NewToken, ApiError> {
    let of =
        |name: &'static str| fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim());
    let known = |word: &str| {
        let scope = Scope::KNOWN.into_iter().find(|scope| scope.as_str() == word);
        scope.ok_or_else(|| ApiError::BadRequest("there is no such scope".to_owned()))
    };
    let scopes = of("scope").map(known).collect::<Result<Vec<Scope>, _>>()?;
    if scopes.is_empty() {
        return Err(ApiError::BadRequest("say what the token may do".to_owned()));
    }
    let name = of("name").next().unwrap_or_default().to_owned();
    let expires_in = of("expires_in").next().filter(|life| !life.is_empty()).map(str::to_owned);
    Ok(NewToken { name, scopes: Some(scopes), functions: None, expires_in })
}

/// `POST /tokens`: the page with the new token on it, this once.
pub(crate) async fn make(
    State(gateway): State<Gateway>,
    form: FormCaller<AnyScope, Vec<(String, String)>>,
) -> Response {
    let made = async { gateway.api_tokens.make_token(&form, new_token(&form.fields)?).await };
    match made.await {
        Ok((_, text)) => page(&gateway, &form.cookie, &form, StatusCode::CREATED, "", Some(text.expose())),
        Err(error) => {
            let (status, message) = error.into_page();
            page(&gateway, &form.cookie, &form, status, &message, None)
        }
    }
}

/// `POST /tokens/{id}/revoke`
pub(crate) async fn revoke(
    State(api_tokens): State<Arc<ApiTokens>>,
    State(login): State<Arc<Login>>,
    Path(id): Path<String>,
    form: FormCaller<AnyScope, CsrfForm>,
) -> Result<Redirect, PageError> {
    let revoked = api_tokens.revoke_token(&form, &id);
    revoked.await.map_err(PageError::at(&login, "/tokens"))?;
    Ok(Redirect::to("/tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> Result<NewToken, String> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        new_token(&fields).map_err(|error| error.to_string())
    }

    #[test]
    fn ticked_boxes_are_scopes_and_an_empty_end_is_none() {
        let both = [("name", " ci "), ("scope", "jobs:read"), ("scope", "repos"), ("expires_in", "")];
        let wish = parsed(&both).unwrap();
        assert_eq!((wish.name.as_str(), wish.expires_in), ("ci", None));
        assert_eq!(wish.scopes.unwrap(), [Scope::JobsRead, Scope::Repos]);
        let short = parsed(&[("scope", "admin"), ("expires_in", "7d")]).unwrap();
        assert_eq!(short.expires_in.as_deref(), Some("7d"));
    }

    #[test]
    fn no_box_and_an_invented_one_are_mistakes() {
        assert_eq!(parsed(&[("name", "ci")]).err().unwrap(), "say what the token may do");
        assert_eq!(parsed(&[("scope", "everything")]).err().unwrap(), "there is no such scope");
    }
}
