//! Tokens of users: what each may do, which repositories it sees, and which are revoked.
//!
//! What a token does not see is answered as if it were not there. A repository is public to git until a
//! test makes it private.

use std::collections::{HashMap, HashSet};

use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, StatusCode, header};

use super::{
    FakeForge, OWNER, Requester, ServerState,
    kind::{Dialect, Refusal},
};
use crate::repository::Repository;

/// What a token may do. By itself it may read what it sees, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// To push, as the forge tells of a repository.
    pub push: bool,
    /// To write statuses.
    pub statuses: bool,
    /// To see, make and remove webhooks.
    pub hooks: bool,
    /// The full names of the repositories that it sees; none: all of them.
    pub on: Option<Vec<String>>,
}

impl Rights {
    /// Everything, on all repositories.
    pub fn all() -> Self {
        Self { push: true, statuses: true, hooks: true, on: None }
    }

    /// The same on these repositories alone.
    #[must_use]
    pub fn only_on(self, full_names: &[&str]) -> Self {
        Self { on: Some(full_names.iter().map(|name| (*name).to_owned()).collect()), ..self }
    }

    pub(super) fn see(&self, full_name: &str) -> bool {
        self.on.as_ref().is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(full_name)))
    }
}

/// What the forge knows of tokens, besides the usual one.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    granted: HashMap<String, Rights>,
    revoked: HashSet<String>,
    /// The full names of repositories that git serves only to who may see them.
    private: HashSet<String>,
}

impl FakeForge {
    /// From now on this token is taken, for this alone. The usual one is not different: it can be
    /// granted less than everything.
    pub fn grants(&self, token: &str, rights: Rights) {
        let mut tokens = self.state.tokens.lock();
        tokens.revoked.remove(token);
        tokens.granted.insert(token.to_owned(), rights);
    }

    /// From now on this token is not taken any more.
    pub fn revokes(&self, token: &str) {
        let mut tokens = self.state.tokens.lock();
        tokens.granted.remove(token);
        tokens.revoked.insert(token.to_owned());
    }

    /// From now on git serves this repository only to a token that sees it.
    pub fn makes_private(&self, repository: &Repository) {
        self.state.tokens.lock().private.insert(format!("{OWNER}/{}", repository.name));
    }
}

impl Dialect {
    /// The refusal of a request about a repository to a user's token; none where it may, and where who
    /// asks is no user: the answer itself is about that.
    pub(super) fn refusal(self, who: &Requester, method: &Method, path: &[&str]) -> Option<Response> {
        let ["repos", owner, name, rest @ ..] = path else { return None };
        // The App alone may ask this, and the answer says so.
        if matches!(rest, ["installation"]) {
            return None;
        }
        let rights = match who {
            Requester::User(rights) => rights,
            Requester::InvalidToken => return Some(self.says(Refusal::BadToken)),
            Requester::Anonymous | Requester::App | Requester::Installation(_) => return None,
        };
        let refusal = match rest {
            _ if !rights.see(&format!("{owner}/{name}")) => Refusal::Unseen,
            ["statuses", ..] if *method == Method::POST && !rights.statuses => Refusal::Statuses,
            ["hooks", ..] if !rights.hooks => Refusal::Hooks,
            _ => return None,
        };
        Some(self.says(refusal))
    }
}

impl ServerState {
    pub(super) fn who(&self, headers: &HeaderMap) -> Requester {
        token(headers).map_or(Requester::Anonymous, |token| self.whose(&token))
    }

    pub(super) fn whose(&self, token: &str) -> Requester {
        if self.tokens.lock().revoked.contains(token) {
            return Requester::InvalidToken;
        }
        if let Some(minted) = self.minted(token) {
            return Requester::Installation(minted);
        }
        if token.starts_with("ghs_") {
            return Requester::InvalidToken;
        }
        if token.starts_with("ey") && self.is_app(token) {
            return Requester::App;
        }
        let granted = self.tokens.lock().granted.get(token).cloned();
        match (granted, &self.token) {
            (Some(rights), _) => Requester::User(rights),
            (None, Some(known)) if known != token => Requester::InvalidToken,
            (None, Some(_) | None) => Requester::User(Rights::all()),
        }
    }

    pub(super) fn is_private(&self, full_name: &str) -> bool {
        self.tokens.lock().private.contains(full_name)
    }

    /// The refusal of a fetch from a private repository; none: git answers.
    pub(super) fn refuses_fetch(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let path = path.trim_start_matches('/');
        let full_name = self
            .tokens
            .lock()
            .private
            .iter()
            .find(|name| path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(".git")))
            .cloned()?;
        let sees = match self.who(headers) {
            Requester::Anonymous | Requester::InvalidToken | Requester::App => {
                let wanted = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
                let text = "Authentication failed.\n";
                return Some((StatusCode::UNAUTHORIZED, wanted, text).into_response());
            }
            Requester::User(rights) => rights.see(&full_name),
            Requester::Installation(minted) => minted.may_read(self.number(&full_name)),
        };
        (!sees).then(|| (StatusCode::NOT_FOUND, "Repository not found.\n").into_response())
    }
}

/// The token that came along, also as the password of a user.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(credential.to_owned());
    }
    let decoded = BASE64_STANDARD.decode(credential).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    Some(decoded.split_once(':').map_or_else(String::new, |(_, password)| password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_forge::{Kind, TOKEN};

    const SOME: &str = "ghp_some";

    async fn code(forge: &FakeForge, method: Method, path: &str, header: (&str, &str)) -> u16 {
        let client = reqwest::Client::builder().no_proxy().user_agent("tests").build().unwrap();
        let request = client.request(method.clone(), format!("{}{path}", forge.url()));
        let body = serde_json::json!({ "state": "success", "name": "n", "context": "n" });
        let request = if method == Method::POST { request.json(&body) } else { request };
        request.header(header.0, header.1).send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_token_may_what_it_was_granted_until_it_is_revoked() {
        let forge = FakeForge::start().await;
        let bearer = ("authorization", "Bearer ghp_some");
        for name in ["seen", "unseen"] {
            forge.repository(name).await;
        }
        assert_eq!(code(&forge, Method::GET, "/repos/acme/seen", bearer).await, 401);
        forge.grants(SOME, Rights::default().only_on(&["acme/seen"]));
        assert_eq!(code(&forge, Method::GET, "/repos/acme/seen", bearer).await, 200);
        assert_eq!(code(&forge, Method::GET, "/repos/acme/unseen", bearer).await, 404);
        let sha = "0123456789012345678901234567890123456789";
        assert_eq!(
            code(&forge, Method::POST, &format!("/repos/acme/seen/statuses/{sha}"), bearer).await,
            403
        );
        assert_eq!(code(&forge, Method::GET, "/repos/acme/seen/hooks", bearer).await, 404);
        assert_eq!(code(&forge, Method::GET, "/api/v1/repos/acme/seen/hooks", bearer).await, 403);
        let private = ("private-token", SOME);
        assert_eq!(code(&forge, Method::GET, "/api/v4/projects/acme%2Fseen", private).await, 200);
        assert_eq!(code(&forge, Method::GET, "/api/v4/projects/acme%2Funseen", private).await, 404);
        let statuses = format!("/api/v4/projects/acme%2Fseen/statuses/{sha}");
        assert_eq!(code(&forge, Method::POST, &statuses, private).await, 403);
        forge.revokes(SOME);
        assert_eq!(code(&forge, Method::GET, "/repos/acme/seen", bearer).await, 401);
        assert_eq!(code(&forge, Method::GET, "/api/v4/projects/acme%2Fseen", private).await, 401);
    }

    #[tokio::test]
    async fn git_serves_a_private_repository_to_who_sees_it() {
        let forge = FakeForge::start().await;
        let repository = forge.repository("closed").await;
        let refs = "/acme/closed.git/info/refs?service=git-upload-pack";
        let password = |token: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("git:{token}")));
        let nobody = ("x-nobody", "");
        assert_eq!(code(&forge, Method::GET, refs, nobody).await, 200);
        forge.makes_private(&repository);
        forge.grants(SOME, Rights::all().only_on(&["acme/other"]));
        assert_eq!(code(&forge, Method::GET, refs, nobody).await, 401);
        assert_eq!(code(&forge, Method::GET, refs, ("authorization", &*password("none"))).await, 401);
        assert_eq!(code(&forge, Method::GET, refs, ("authorization", &*password(SOME))).await, 404);
        assert_eq!(code(&forge, Method::GET, refs, ("authorization", &*password(TOKEN))).await, 200);
        forge.revokes(TOKEN);
        assert_eq!(code(&forge, Method::GET, refs, ("authorization", &*password(TOKEN))).await, 401);
    }

    #[tokio::test]
    async fn a_forge_below_a_path_is_nowhere_else_and_tells_its_kind() {
        let forge = FakeForge::start_below("/git").await;
        let repository = forge.repository("name").await;
        assert_eq!(repository.url, format!("http://{}/git/acme/name.git", forge.address()));
        forge.is_kind(Kind::GitLab);
        let (nobody, private) = (("x-nobody", ""), ("private-token", TOKEN));
        assert_eq!(code(&forge, Method::GET, "/api/v4/version", nobody).await, 401);
        assert_eq!(code(&forge, Method::GET, "/api/v4/version", private).await, 200);
        assert_eq!(code(&forge, Method::GET, "/api/v1/version", nobody).await, 404);
        assert_eq!(code(&forge, Method::GET, "/repos/acme/name", nobody).await, 404);
        forge.is_kind(Kind::Gitea);
        assert_eq!(code(&forge, Method::GET, "/api/v1/version", nobody).await, 200);
        let refs = "/acme/name.git/info/refs?service=git-upload-pack";
        assert_eq!(code(&forge, Method::GET, refs, nobody).await, 200);
        let outside = format!("http://{}{refs}", forge.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(client.get(outside).send().await.unwrap().status().as_u16(), 404);
    }
}
