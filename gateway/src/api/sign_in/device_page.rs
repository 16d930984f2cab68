//! The person's side: `/device`, where somebody who is signed in says yes or no to a code.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jobs::accounts::ALL_SCOPES;
use serde::Deserialize;

use crate::{
    api::sign_in::device_grant::PROVIDER,
    auth::rights::{AnyScope, SessionCaller},
    crypto::keyring::Keyring,
    extract::Query,
    html::{
        PageError,
        form::{FormCaller, FormFields},
        on_page::OnPage,
        sign_in,
        sign_in::DevicePage,
    },
    http::rate_limit::Limits,
    login::{
        Login,
        device::{GrantState, Request, normalize_user_code},
    },
};

/// Of the query.
#[derive(Deserialize)]
pub(crate) struct DeviceParams {
    #[serde(default)]
    user_code: String,
}

/// What the form says.
#[derive(Deserialize)]
pub(crate) struct DeviceForm {
    #[serde(default)]
    user_code: String,
    /// `allow`; anything else is a no.
    #[serde(default)]
    answer: String,
    /// The session's word.
    #[serde(default)]
    form: String,
}

impl FormFields for DeviceForm {
    fn csrf_token(&self) -> &str {
        &self.form
    }

    fn page(&self, _: &str) -> String {
        page_path(&self.user_code)
    }
}

/// This page again, with the code where it is one.
fn page_path(typed: &str) -> String {
    normalize_user_code(typed)
        .map_or_else(|| "/device".to_owned(), |code| format!("/device?user_code={code}"))
}

/// `GET /device`
pub(crate) async fn show(
    caller: OnPage<SessionCaller<AnyScope>>,
    State(keys): State<Arc<Keyring>>,
    State(login): State<Arc<Login>>,
    Query(shown): Query<DeviceParams>,
) -> Result<Response, PageError> {
    let page = async {
        let code = normalize_user_code(&shown.user_code).unwrap_or_default();
        let form = keys.form(&caller.cookie);
        Ok(sign_in::device(
            StatusCode::OK,
            &DevicePage { email: &caller.user.email, code, form, message: "" },
        ))
    };
    page.await.map_err(PageError::at(&login, page_path(&shown.user_code)))
}

/// `POST /device`
pub(crate) async fn answer(
    State(keys): State<Arc<Keyring>>,
    State(limits): State<Arc<Limits>>,
    State(login): State<Arc<Login>>,
    form: FormCaller<AnyScope, DeviceForm>,
) -> Result<Response, PageError> {
    let (caller, said) = (&form.identity, &form.fields);
    let page = async {
        let devices = &login.devices;
        let again = |message| {
            let word = keys.form(&form.cookie);
            let code = normalize_user_code(&said.user_code).unwrap_or_default();
            let page = DevicePage { email: &caller.user.email, code, form: word, message };
            sign_in::device(StatusCode::BAD_REQUEST, &page)
        };
        let Some(entry) = devices.waiting(&said.user_code).await? else {
            return Ok(again("There is no such code, or it was used or has expired."));
        };
        let allows = said.answer == "allow";
        if allows {
            limits.check_sign_in(PROVIDER, &caller.user.id.to_string())?;
        }
        let scopes = ALL_SCOPES.into_iter().filter(|scope| caller.require_scope(*scope).is_ok()).collect();
        let begun_by = match caller.session {
            Some(id) => login.sessions.get(id).await?,
            None => None,
        };
        let let_in = begun_by.and_then(|session| session.let_in);
        let request = Request {
            answer: if allows { GrantState::Allowed } else { GrantState::Denied },
            user: Some(caller.user.id),
            scopes,
            let_in,
            made_by: caller.lineage.clone(),
            until: caller.expires_at,
            ..entry.value
        };
        match devices.requests.update(&entry.key, &request, entry.revision).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => return Ok(again("Somebody else answered this code.")),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(user = %caller.user.id, allows, "a device's code was answered");
        Ok(if allows {
            sign_in::message_page("Signed in", "The program is signed in now. You can close this page.")
        } else {
            sign_in::message_page("Denied", "The program was refused. You can close this page.")
        }
        .into_response())
    };
    page.await.map_err(PageError::at(&login, page_path(&said.user_code)))
}
