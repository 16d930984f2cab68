//! Parses verified deliveries into events, the same for every forge.
//!
//! Payloads are read leniently: what we do not need may be missing, null or of another type, because
//! forges change it without notice. What we need is parsed into types that cannot hold nonsense.
//! An event without an effect is a value ([`Incoming::Ignored`]), not an error. The types of events are those
//! of [`jobs::incoming`].

mod github;
mod gitlab;
mod raw;
mod truncate;

use http::HeaderMap;
use jobs::{Forge, forge::BadUrl, git_ref::BadRef};

pub use jobs::incoming::{
    Account, Incoming, Installation, InstallationAction, InstallationRepositories, InstalledRepository,
    PullRequest, PullRequestAction, Push, Repository, Rerequested,
};

use crate::verify::Verified;

/// Why a verified delivery cannot be understood. Answered with 400 and kept as `refused`.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or without a field that is needed.
    #[error("payload: {0}")]
    Json(#[source] serde_json::Error),
    /// The ref cannot be one.
    #[error(transparent)]
    Ref(#[from] BadRef),
    /// The repository cannot be cloned from there.
    #[error("clone URL: {0}")]
    Url(#[from] BadUrl),
    /// A commit id is none.
    #[error("{field}: {source}")]
    Sha {
        /// The field.
        field: &'static str,
        /// Why.
        source: jobs::NotACommit,
    },
    /// The repository's name is missing, too long or holds control characters.
    #[error("the repository has no usable name")]
    Name,
    /// The delivery does not say what it is.
    #[error("no event header")]
    NoEvent,
}

/// Reads a verified delivery. `event` is the forge's event header; see [`event`].
pub fn parse(forge: Forge, event: &str, verified: &Verified<'_>) -> Result<Incoming, Malformed> {
    let json = verified.json();
    let incoming = match forge {
        Forge::Github | Forge::Plain => github::parse(github::Dialect::Github, event, &json),
        Forge::Gitea => github::parse(github::Dialect::Gitea, event, &json),
        Forge::Gitlab => gitlab::parse(event, &json),
    };
    incoming.map(truncate::truncated)
}

/// The longest delivery id taken, in bytes; every forge sends a UUID.
const MAX_DELIVERY_ID_BYTES: usize = 128;

/// The longest name of an event taken, in bytes; the forges' are shorter. It is not signed.
const MAX_EVENT_BYTES: usize = 64;

/// The event's name, from the forge's header.
pub fn event(forge: Forge, headers: &HeaderMap) -> Result<&str, Malformed> {
    let names: &[&str] = match forge {
        Forge::Github | Forge::Plain => &["x-github-event"],
        Forge::Gitea => &["x-github-event", "x-gitea-event", "x-forgejo-event", "x-gogs-event"],
        Forge::Gitlab => &["x-gitlab-event"],
    };
    let value = names.iter().find_map(|name| headers.get(*name));
    let event = value.and_then(|value| value.to_str().ok());
    event.filter(|event| event.len() <= MAX_EVENT_BYTES).ok_or(Malformed::NoEvent)
}

/// The delivery's id, from the forge's header; `None` when it is missing or unusable, and the
/// body's digest must do. It is not signed.
pub fn delivery_id(forge: Forge, headers: &HeaderMap) -> Option<&str> {
    let names: &[&str] = match forge {
        Forge::Github | Forge::Plain => &["x-github-delivery"],
        Forge::Gitea => &["x-github-delivery", "x-gitea-delivery", "x-forgejo-delivery", "x-gogs-delivery"],
        // The first is the same for every try of one delivery, but only newer versions send it.
        Forge::Gitlab => &["idempotency-key", "x-gitlab-event-uuid"],
    };
    let id = names.iter().find_map(|name| headers.get(*name))?.to_str().ok()?;
    let usable =
        !id.is_empty() && id.len() <= MAX_DELIVERY_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic());
    usable.then_some(id)
}
