//! Which forge the fake one imitates: the API that a path belongs to, how the version is reported, and how
//! errors look.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{FakeForge, ServerState, said};

/// What `GET /api/v1/version` tells: the release whose deliveries the tests have saved.
const GITEA_VERSION: &str = "1.25.4";
/// What `GET /api/v4/version` tells, to whom it knows.
const GITLAB_VERSION: (&str, &str) = ("18.5.1", "0b8ff0e0d2f");

/// Which forge it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// All at once: each API is there, and no address tells which forge it is.
    #[default]
    All,
    /// GitHub, whose API is at the root.
    GitHub,
    /// Gitea, whose API is at `/api/v1`.
    Gitea,
    /// GitLab, whose API is at `/api/v4`.
    GitLab,
}

impl Kind {
    /// The only API that there is.
    fn only(self) -> Option<Dialect> {
        match self {
            Self::All => None,
            Self::GitHub => Some(Dialect::GitHub),
            Self::Gitea => Some(Dialect::Gitea),
            Self::GitLab => Some(Dialect::GitLab),
        }
    }

    pub(super) fn speaks(self, dialect: Dialect) -> bool {
        self.only().is_none_or(|only| only == dialect)
    }
}

/// Whose API is asked, and so in whose words it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    GitHub,
    Gitea,
    GitLab,
}

/// Why a request about a repository is refused to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none, or not any more.
    BadToken,
    /// It does not see the repository.
    Unseen,
    /// It may not write statuses.
    Statuses,
    /// It may not see or change webhooks.
    Hooks,
}

impl Dialect {
    /// Whose API a path belongs to, and its segments there; none: the path is git's.
    pub(super) fn of(path: &str) -> Option<(Self, Vec<&str>)> {
        let (dialect, below) = match path.strip_prefix("/api/") {
            Some(api) => match api.split_once('/')? {
                ("v1", below) => (Self::Gitea, below),
                ("v4", below) => (Self::GitLab, below),
                _ => return None,
            },
            None => (Self::GitHub, path.strip_prefix('/')?),
        };
        let segments: Vec<&str> = below.split('/').collect();
        let is_gits =
            dialect == Self::GitHub && !matches!(segments[..], ["repos" | "app" | "installation", ..]);
        (!is_gits).then_some((dialect, segments))
    }

    /// A refusal, as this forge words it.
    pub(super) fn says(self, refusal: Refusal) -> Response {
        let (status, message) = match (self, refusal) {
            (Self::GitHub, Refusal::BadToken) => (StatusCode::UNAUTHORIZED, "Bad credentials"),
            (Self::GitHub, Refusal::Unseen | Refusal::Hooks) => (StatusCode::NOT_FOUND, "Not Found"),
            (Self::GitHub, Refusal::Statuses) => {
                (StatusCode::FORBIDDEN, "Resource not accessible by personal access token")
            }
            (Self::Gitea, Refusal::BadToken) => {
                (StatusCode::UNAUTHORIZED, "invalid username, password or token")
            }
            (Self::Gitea, Refusal::Unseen) => (StatusCode::NOT_FOUND, "The target couldn't be found."),
            (Self::Gitea, Refusal::Statuses) => {
                (StatusCode::FORBIDDEN, "user should have a permission to write to a repo")
            }
            (Self::Gitea, Refusal::Hooks) => (
                StatusCode::FORBIDDEN,
                "user should be an owner or a collaborator with admin write of a repository",
            ),
            (Self::GitLab, Refusal::BadToken) => (StatusCode::UNAUTHORIZED, "401 Unauthorized"),
            (Self::GitLab, Refusal::Unseen) => (StatusCode::NOT_FOUND, "404 Project Not Found"),
            (Self::GitLab, Refusal::Statuses | Refusal::Hooks) => (StatusCode::FORBIDDEN, "403 Forbidden"),
        };
        match self {
            Self::GitHub => said(status, message),
            Self::Gitea => {
                let body = json!({ "message": message, "url": "http://gitea.example/api/swagger" });
                (status, Json(body)).into_response()
            }
            Self::GitLab => (status, Json(json!({ "message": message }))).into_response(),
        }
    }
}

impl FakeForge {
    /// It is this forge from now on, and has no other's API.
    pub fn is_kind(&self, kind: Kind) {
        *self.state.kind.lock() = kind;
    }
}

impl ServerState {
    /// Which forge and version this is, for whoever may know.
    pub(super) fn version(&self, dialect: Dialect, headers: &HeaderMap) -> Response {
        let kind = *self.kind.lock();
        match kind.only().filter(|only| *only == dialect) {
            Some(Dialect::Gitea) => Json(json!({ "version": GITEA_VERSION })).into_response(),
            Some(Dialect::GitLab) if self.private_token(headers).is_none() => dialect.says(Refusal::BadToken),
            Some(Dialect::GitLab) => {
                let (version, revision) = GITLAB_VERSION;
                Json(json!({ "version": version, "revision": revision })).into_response()
            }
            Some(Dialect::GitHub) | None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_apis_or_gits() {
        let of = |path| Dialect::of(path).map(|(dialect, segments)| (dialect, segments.join(" ")));
        assert_eq!(of("/repos/a/b/hooks"), Some((Dialect::GitHub, "repos a b hooks".to_owned())));
        assert_eq!(of("/api/v1/repos/a/b"), Some((Dialect::Gitea, "repos a b".to_owned())));
        assert_eq!(of("/api/v4/projects/a%2Fb"), Some((Dialect::GitLab, "projects a%2Fb".to_owned())));
        assert_eq!(of("/api/v4/version"), Some((Dialect::GitLab, "version".to_owned())));
        for path in ["/acme/name.git/info/refs", "/api/v3/repos/a/b", "/api/v1", "/", "*"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
