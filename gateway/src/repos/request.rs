//! Validates the request body of a registration or a change.

use hooks::Forge;
use jobs::api::{self, RepoRequest};

use crate::error::ApiError;

/// Globs of one list: a registration is small enough to be read with every delivery.
const MAX_GLOBS: usize = 100;
/// Globs of one list together, in bytes as JSON: each job of a push keeps a copy of `paths`, and its record
/// stays under 32 KiB.
const MAX_GLOBS_BYTES: usize = 4096;
/// The longest name of a registration, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The longest token that is accepted, in bytes; those of the forges are far shorter.
const MAX_TOKEN_BYTES: usize = 4096;

/// The names of the fields that are present, for the audit log: never their values.
pub(crate) fn named_fields(request: &RepoRequest) -> String {
    let fields = [
        ("url", request.url.is_some()),
        ("forge", request.forge.is_some()),
        ("name", request.name.is_some()),
        ("function", request.function.is_some()),
        ("branches", request.branches.is_some()),
        ("paths", request.paths.is_some()),
        ("events", request.events.is_some()),
        ("links", request.links.is_some()),
        ("forks", request.forks.is_some()),
        ("skip_ci", request.skip_ci.is_some()),
        ("pull_requests", request.pull_requests.is_some()),
        ("api_url", request.api_url.is_some()),
        ("label", request.label.is_some()),
        ("token", request.token.is_some()),
        ("webhook", request.webhook.is_some()),
        ("viewers", request.viewers.is_some()),
        ("access", request.access.is_some()),
        ("enabled", request.enabled.is_some()),
        ("signing_secrets", request.signing_secrets.is_some()),
    ];
    fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

/// Refuses lists, names and tokens that are too long.
pub(super) fn check(request: &RepoRequest) -> Result<(), ApiError> {
    let wrong = |what: String| Err(ApiError::BadRequest(what));
    if request.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        return wrong(format!("name: longer than {MAX_NAME_BYTES} bytes"));
    }
    for (field, filter) in [("branches", &request.branches), ("paths", &request.paths)] {
        let count = filter.as_ref().map_or(0, |filter| {
            serde_json::to_value(filter).map_or(0, |value| value.as_array().map_or(0, Vec::len))
        });
        if count > MAX_GLOBS {
            return wrong(format!("{field}: more than {MAX_GLOBS} globs"));
        }
        let bytes =
            filter.as_ref().map_or(0, |filter| serde_json::to_string(filter).map_or(0, |text| text.len()));
        if bytes > MAX_GLOBS_BYTES {
            return wrong(format!("{field}: more than {MAX_GLOBS_BYTES} bytes"));
        }
    }
    if request.token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
        return wrong(format!("token: longer than {MAX_TOKEN_BYTES} bytes"));
    }
    Ok(())
}

/// The kind of forge that a request names.
pub(super) fn forge(named: api::Forge) -> Forge {
    match named {
        api::Forge::Github => Forge::Github,
        api::Forge::Gitea => Forge::Gitea,
        api::Forge::Gitlab => Forge::Gitlab,
        api::Forge::Plain => Forge::Plain,
    }
}
