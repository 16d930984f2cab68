//! What a delivery says, in our own words and the same for every forge.
//!
//! Payloads are read leniently: what we do not need may be missing, null or of another type, because
//! forges change it without notice. What we need is parsed into types that cannot hold nonsense.
//! An event that we do not care about is an answer ([`Incoming::Ignored`]), not an error.
//!
//! [`Incoming`] is a wire format: the deliveries ledger keeps it. Fields are added with a default,
//! never changed or reused.

mod bounds;
mod github;
mod gitlab;
mod wire;

use http::HeaderMap;
use jobs::CommitSha;
use serde::{Deserialize, Serialize};

use crate::forge::{BadUrl, CloneUrl, Forge};
use crate::git_ref::{BadRef, GitRef};
use crate::verify::Verified;

/// What a delivery means to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "what", rename_all = "snake_case")]
pub enum Incoming {
    /// A branch or tag was made, moved or removed.
    Push(Push),
    /// The forge tries out the webhook.
    Ping,
    /// A pull request has new commits, or was closed.
    PullRequest(PullRequest),
    /// Somebody pressed "re-run" beside a check.
    Rerequested(Rerequested),
    /// The App was installed, removed or suspended.
    Installation(Installation),
    /// The App's installation gained or lost repositories.
    InstallationRepositories(InstallationRepositories),
    /// Understood, and nothing to do. The ledger keeps the reason.
    Ignored(String),
}

/// The repository that a payload is about. It is what the payload *says*: statuses and clones use the
/// registered URL, and a payload that names another repository is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The forge's numeric id, which survives renames and transfers. Plain git servers have none.
    #[serde(default)]
    pub forge_id: Option<u64>,
    /// Owner and name, `octocat/hello`; of GitLab with all its groups.
    pub full_name: String,
    /// Where it is cloned from.
    pub clone_url: CloneUrl,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Whether strangers may not read it. Private when the forge does not say.
    #[serde(default = "private_unless_told")]
    pub private: bool,
    /// The branch that a clone checks out.
    #[serde(default)]
    pub default_branch: Option<String>,
}

fn private_unless_told() -> bool {
    true
}

/// A branch or tag was made, moved or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where.
    pub repository: Repository,
    /// Which branch or tag.
    #[serde(rename = "ref")]
    pub reference: GitRef,
    /// What it pointed to; `None` when it was made, or when the forge does not say.
    #[serde(default)]
    pub before: Option<CommitSha>,
    /// What it points to, of an annotated tag the tag object; see [`Push::commit`]. `None`: removed.
    #[serde(default)]
    pub after: Option<CommitSha>,
    /// Of an annotated tag, the commit that it was put on, where the forge says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagged: Option<CommitSha>,
    /// Whether commits were left behind. Gitea and GitLab do not say; it is then `false`.
    #[serde(default)]
    pub forced: bool,
    /// The beginning of the newest commit's message.
    #[serde(default)]
    pub head_message: Option<String>,
    /// Whether the whole message asks for no run: `[skip ci]`, `[ci skip]`, or `skip-checks: true` at its end.
    #[serde(default)]
    pub skip_ci: bool,
    /// Who pushed, by the forge's name.
    #[serde(default)]
    pub pusher: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
    /// Nobody told us: the forge was asked for its refs, and this one was new. Then `before` and the
    /// message are not known. Never set by [`parse`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_up: bool,
}

impl Push {
    /// Whether the ref was removed.
    pub fn is_deletion(&self) -> bool {
        self.after.is_none()
    }

    /// What is to be run and told of: forges take statuses of commits alone.
    pub fn commit(&self) -> Option<&CommitSha> {
        self.tagged.as_ref().or(self.after.as_ref())
    }

    /// Whether the newest commit asks for no run, in either spelling and any case.
    pub fn asks_to_skip(&self) -> bool {
        self.skip_ci
    }
}

/// What happened to a pull request, of those things that matter to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestAction {
    /// It is new.
    Opened,
    /// It is open again.
    Reopened,
    /// Its branch has new commits.
    Synchronized,
    /// It is no draft any more.
    ReadyForReview,
    /// Merged or rejected.
    Closed,
}

/// A pull request has new commits, or was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The repository that it wants to get into: the only one that is fetched from.
    pub repository: Repository,
    /// What happened.
    pub action: PullRequestAction,
    /// Its number; its commits are at `refs/pull/<number>/head`.
    pub number: u64,
    /// The newest commit.
    pub head_sha: CommitSha,
    /// The newest commit before new ones came. GitHub tells it, Gitea does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha: Option<CommitSha>,
    /// The branch it comes from, as its repository names it.
    pub head_branch: String,
    /// The repository it comes from; `None` when that is gone.
    #[serde(default)]
    pub head_repository: Option<String>,
    /// Whether it comes from another repository: no secrets, and only after an approval.
    pub from_fork: bool,
    /// The branch it wants to get into.
    pub base_branch: String,
    /// That branch's commit when the payload was made.
    #[serde(default)]
    pub base_sha: Option<CommitSha>,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
}

impl PullRequest {
    /// Where the base repository keeps its commits, at GitHub and Gitea.
    pub fn reference(&self) -> String {
        format!("refs/pull/{}/head", self.number)
    }
}

/// Somebody pressed "re-run" beside a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerequested {
    /// Where.
    pub repository: Repository,
    /// The commit.
    pub sha: CommitSha,
    /// The check run; `None` when the whole suite is meant.
    #[serde(default)]
    pub check_run: Option<u64>,
    /// The check's name, of a single run.
    #[serde(default)]
    pub name: Option<String>,
    /// What we called the check run when we made it: the job's id.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The App whose check it is.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// Who pressed, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
}

/// What happened to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationAction {
    /// The App was installed.
    Created,
    /// The App was removed.
    Deleted,
    /// The App may do nothing until it is unsuspended.
    Suspended,
    /// It may again.
    Unsuspended,
    /// The account's owner accepted what the App newly asks for.
    PermissionsAccepted,
}

/// The account that installed the App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The forge's numeric id.
    pub id: u64,
    /// Its name.
    pub login: String,
}

/// A repository of an installation, as the installation's events name it: without a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledRepository {
    /// The forge's numeric id.
    pub forge_id: u64,
    /// Owner and name.
    pub full_name: String,
    /// Whether strangers may not read it.
    #[serde(default = "private_unless_told")]
    pub private: bool,
}

/// The App was installed, removed or suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The installation's id.
    pub id: u64,
    /// What happened.
    pub action: InstallationAction,
    /// Whose it is.
    pub account: Account,
    /// The App.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// Its repositories, where the event lists them.
    #[serde(default)]
    pub repositories: Vec<InstalledRepository>,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
}

/// The App's installation gained or lost repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationRepositories {
    /// The installation's id.
    pub id: u64,
    /// Whose it is.
    pub account: Account,
    /// The App.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// New ones.
    #[serde(default)]
    pub added: Vec<InstalledRepository>,
    /// Those that are gone.
    #[serde(default)]
    pub removed: Vec<InstalledRepository>,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
}

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
    incoming.map(bounds::bounded)
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
