//! What is shown of registered repositories: to owners, and to viewers.

use jiff::Timestamp;
use jobs::{
    Filter, Forks, Label, Links, Problem, ProblemKind, PullRequests, Repo, RepoEvent, RepoId, SkipCi,
};
use serde::Serialize;

use crate::repos::{
    forge_webhook::WebhookTold,
    problems::{fix, is_posting},
    viewers::ViewerView,
};

/// A registered repository.
#[derive(Debug, Serialize)]
pub(crate) struct RepoView {
    pub(crate) id: RepoId,
    pub(crate) url: String,
    pub(crate) forge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) branches: Filter,
    pub(crate) paths: Filter,
    pub(crate) events: Vec<RepoEvent>,
    pub(crate) links: Links,
    pub(crate) forks: Forks,
    pub(crate) label: Label,
    /// Who sees its jobs besides its owner.
    pub(crate) viewers: Vec<ViewerView>,
    /// Whether this registration posts statuses.
    pub(crate) posts: bool,
    /// Why it posts no statuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) posts_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<ProblemView>,
    pub(crate) skip_ci: SkipCi,
    pub(crate) pull_requests: PullRequests,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) removing_since: Option<Timestamp>,
    /// Other registrations of the same URL; when it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also_registered: Vec<OtherRegistration>,
    pub(crate) webhook_url: String,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// How it went with the webhook at the forge; shown once, when one was wished for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<WebhookTold>,
    /// The installation of the GitHub App that brought it, or lends it tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) installation: Option<u64>,
}

impl RepoView {
    /// Without the secret, and without the viewers, whose addresses it does not know.
    pub(crate) fn of(repo: &Repo, public_url: &url::Url) -> Self {
        let webhook = public_url.join(&format!("webhooks/{}", repo.id)).expect("an id is a path");
        Self {
            id: repo.id,
            url: repo.url.to_string(),
            forge: repo.forge.to_string(),
            name: repo.name.clone(),
            branches: repo.branches.clone(),
            paths: repo.paths.clone(),
            events: repo.events.clone(),
            links: repo.links,
            forks: repo.forks,
            label: repo.label.clone(),
            viewers: Vec::new(),
            posts: is_posting(repo),
            posts_reason: None,
            problems: repo.problems.iter().map(ProblemView::from).collect(),
            skip_ci: repo.skip_ci,
            pull_requests: repo.pull_requests,
            api_url: repo.api_url.clone(),
            removing_since: repo.removing_since,
            also_registered: Vec::new(),
            webhook_url: webhook.into(),
            secret: None,
            webhook: None,
            installation: repo.installation,
        }
    }
}

/// Something that its owner has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProblemView {
    /// `status`, `token`, `webhook`, or `signature`: of deliveries that are not signed as they should be.
    pub(crate) about: &'static str,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
    /// What mends it.
    pub(crate) fix: &'static str,
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        Self {
            about: match problem.about {
                ProblemKind::Status => "status",
                ProblemKind::Token => "token",
                ProblemKind::Webhook => "webhook",
            },
            message: problem.message.clone(),
            since: problem.since,
            fix: fix(problem.about),
        }
    }
}

/// Another registration of the same URL; whose it is, where the caller may know.
#[derive(Debug, Serialize)]
pub(crate) struct OtherRegistration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<RepoId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    pub(crate) posts: bool,
}

/// A repository as its viewers see it: which one it is, and nothing of how it is set up.
#[derive(Debug, Serialize)]
pub(crate) struct ViewedRepo {
    id: RepoId,
    url: String,
    forge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    role: &'static str,
}

impl ViewedRepo {
    pub(crate) fn of(repo: &Repo) -> Self {
        Self {
            id: repo.id,
            url: repo.url.to_string(),
            forge: repo.forge.to_string(),
            name: repo.name.clone(),
            role: "viewer",
        }
    }
}
