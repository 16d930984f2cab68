//! Registered repositories: what is asked of a registration, and what is shown of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Forge, OpenEnum};
use crate::{CallAccess, Filter, Forks, Label, PageAccess, PullRequests, RepoEvent, RepoId, SkipCi, UserId};

/// What is asked of a registration, new or changed. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoRequest {
    /// The clone URL. Required of a new registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which kind of forge it is on; found out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forge: Option<Forge>,
    /// What to call it in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name that its function is called by: lower-case letters, digits and single hyphens. Made from the URL
    /// otherwise. A new one leaves the old one leading to it for 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Globs; `!` excludes, the last match wins. Empty: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub branches: Option<Filter>,
    /// Globs; `!` excludes, the last match wins. Empty: all. A path must pass these and the manifest's; 4 KiB
    /// together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub paths: Option<Filter>,
    /// What makes jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<RepoEvent>>,
    /// Who may follow a status's link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<PageAccess>,
    /// Pull requests from forks: held until an owner approves, run at once, or never. They get no secrets in
    /// any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "approve")]
    pub forks: Option<Forks>,
    /// Of a push whose commit says `[skip ci]`: `status` posts success at once, `silent` posts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "status")]
    pub skip_ci: Option<SkipCi>,
    /// `reuse`: a pull request of the repository itself is answered by the job of its push, where filters and
    /// secrets agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "run")]
    pub pull_requests: Option<PullRequests>,
    /// Where the forge's API is: api/v1, api/v3 or api/v4, at the root of the clone URL's own host or in a
    /// folder of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// Which workers may take its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// For clones and statuses; sealed, never shown again. An empty one takes it away. In a change it also
    /// makes the webhook that could not be made before. Over http only to a host that the operator allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether the webhook is made at the forge itself, with the token. At a registration with a token it is
    /// unless this says no; in a change, `false` removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<bool>,
    /// Addresses, which are invited whether or not they are anybody's, or ids of users.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub viewers: Option<Vec<String>>,
    /// Who may call its function: `token`, its owner and viewers; `public`, everybody, where the operator allows it;
    /// `signed`, whoever signs with one of `signing_secrets`. A token opens it in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "token")]
    pub access: Option<CallAccess>,
    /// Whether its function may be called; `false` turns it off at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub enabled: Option<bool>,
    /// What callers sign with, two at most: secrets as the sender hands them out, and ids of those that stay. Sealed,
    /// never shown again. To change one, add the new one, and take the old one away once nobody signs with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 2, write_only)]
    pub signing_secrets: Option<Vec<String>>,
    /// Of a new registration: register nothing when the forge refuses the token for the webhook and for
    /// statuses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token_must_work: bool,
}

/// A registered repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Repo {
    /// Its id.
    pub id: RepoId,
    /// The clone URL, without credentials.
    pub url: String,
    /// Which kind of forge it is on.
    #[schema(value_type = Forge)]
    pub forge: OpenEnum<Forge>,
    /// What its owner called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The name that its function is called by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub function: Option<String>,
    /// Globs; `!` excludes, the last match wins. Empty: all.
    pub branches: Vec<String>,
    /// Globs; `!` excludes, the last match wins. Empty: all. A path must pass these and the manifest's; 4 KiB
    /// together.
    pub paths: Vec<String>,
    /// What makes jobs.
    #[schema(value_type = Vec<RepoEvent>)]
    pub events: Vec<OpenEnum<RepoEvent>>,
    /// Who may follow a status's link.
    #[schema(value_type = PageAccess)]
    pub links: OpenEnum<PageAccess>,
    /// Pull requests from forks: held until an owner approves, run at once, or never.
    #[schema(value_type = Forks)]
    pub forks: OpenEnum<Forks>,
    /// Which workers may take its jobs.
    pub label: Label,
    /// Who sees its jobs, logs and results besides its owner: users by id, and addresses that are invited,
    /// which have no id.
    pub viewers: Vec<Viewer>,
    /// Whether this registration posts statuses.
    pub posts: bool,
    /// Why not, in one sentence; only when `posts` is false. While the forge has not confirmed that it may,
    /// also when it is asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub posts_reason: Option<String>,
    /// What stands between a push and its check; absent when nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Of a push whose commit says `[skip ci]`: `status` posts success at once, `silent` posts nothing.
    #[schema(value_type = SkipCi)]
    pub skip_ci: OpenEnum<SkipCi>,
    /// `reuse`: a pull request of the repository itself is answered by the job of its push, where filters and
    /// secrets agree.
    #[schema(value_type = PullRequests)]
    pub pull_requests: OpenEnum<PullRequests>,
    /// Where the forge's API is, when that was given or found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub api_url: Option<String>,
    /// While it is being removed: its last jobs are cancelled and the forge is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub removing_since: Option<Timestamp>,
    /// Other registrations of the same URL; only in the answer that makes this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_registered: Vec<OtherRegistration>,
    /// Where the forge sends its deliveries.
    pub webhook_url: String,
    /// Of the webhook; shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<String>,
    /// What became of the webhook at the forge. Only in the answer to a request that asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WebhookResult>, nullable = false)]
    pub webhook: Option<OpenEnum<WebhookResult>>,
    /// Who may call its function.
    #[serde(default = "token_access")]
    #[schema(value_type = CallAccess, required)]
    pub access: OpenEnum<CallAccess>,
    /// Whether its function may be called.
    #[serde(default = "enabled")]
    #[schema(required)]
    pub enabled: bool,
    /// What callers sign with, oldest first; absent when there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_secrets: Vec<SigningSecret>,
    /// The installation of the GitHub App that brought it, or lends it tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub installation: Option<u64>,
}

/// What an older gateway does not say.
fn token_access() -> OpenEnum<CallAccess> {
    CallAccess::Token.into()
}

fn enabled() -> bool {
    true
}

/// A secret that callers of a function sign with, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningSecret {
    /// What it is called in requests.
    pub id: String,
    /// Since when it is taken.
    pub added_at: Timestamp,
}

/// Who sees a repository's jobs besides its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Viewer {
    /// Absent of an address that is invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<UserId>,
    /// Absent where the user is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
}

/// Something that its owner has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What it is about.
    #[schema(value_type = ProblemAbout)]
    pub about: OpenEnum<ProblemAbout>,
    /// One sentence.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// What mends it.
    pub fix: String,
}

/// What a problem of a registration is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemAbout {
    /// The forge does not accept a status.
    Status,
    /// The forge does not accept the token, or it sees or may too little.
    Token,
    /// The webhook was not made at the forge.
    Webhook,
    /// Deliveries are not signed as they should be.
    Signature,
}

impl From<crate::ProblemKind> for ProblemAbout {
    fn from(kind: crate::ProblemKind) -> Self {
        match kind {
            crate::ProblemKind::Status => Self::Status,
            crate::ProblemKind::Token => Self::Token,
            crate::ProblemKind::Webhook => Self::Webhook,
        }
    }
}

/// Another registration of the same URL; whose it is only where the caller may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherRegistration {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<RepoId>,
    /// The owner's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// Whether it posts the statuses.
    pub posts: bool,
}

/// What became of the webhook at the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookResult {
    /// It was made.
    Created,
    /// It was there, and has this registration's secret now.
    Exists,
    /// It is not there any more.
    Removed,
    /// It could not be done, and why.
    Error(String),
}

impl WebhookResult {
    /// What its owner has to mend.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Created | Self::Exists | Self::Removed => None,
            Self::Error(why) => Some(why),
        }
    }
}

/// A repository as its viewers see it: which one it is, and nothing of how it is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ViewedRepo {
    /// Its id.
    pub id: RepoId,
    /// The clone URL, without credentials.
    pub url: String,
    /// Which kind of forge it is on.
    #[schema(value_type = Forge)]
    pub forge: OpenEnum<Forge>,
    /// What its owner called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The name that its function is called by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub function: Option<String>,
    /// By what right the caller sees it.
    pub role: ViewerRole,
}

/// By what right a caller sees a repository of another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ViewerRole {
    /// As one of its viewers.
    Viewer,
}

/// A repository: all of it to its owners, which one it is to its viewers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ShownRepo {
    /// To its owners.
    Owned(Box<Repo>),
    /// To its viewers.
    Viewed(ViewedRepo),
}

/// What became of a registration that was removed. Without an answer, it is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovedRepo {
    /// What became of the webhook at the forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WebhookResult>, nullable = false)]
    pub webhook: Option<OpenEnum<WebhookResult>>,
    /// True: it goes once the forge was told what became of its jobs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removing: bool,
    /// Jobs that were still open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cancelled: Option<usize>,
}
