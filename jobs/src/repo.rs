//! The record of a registered repository: what makes jobs of it, who sees them, and what its owner has to
//! repair.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    CallSettings, CloneUrl, Filter, Forge, FunctionName, Label, RefName, RepoId, Stored, UserId,
    accounts::User,
};

/// Access to the page that a status links to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PageAccess {
    /// Whoever has the link, as its key says.
    #[default]
    Key,
    /// Only who is signed in and may see the job.
    Login,
}

/// What of a repository makes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RepoEvent {
    /// Pushes to branches.
    Push,
    /// Pushes of tags.
    Tag,
    /// Pull requests.
    PullRequest,
}

/// What becomes of pull requests from forks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Forks {
    /// They are held until an owner approves their commit.
    #[default]
    Approve,
    /// They run at once; they get no secrets all the same.
    Run,
    /// They make no jobs.
    Never,
}

/// What becomes of a push whose commit asks for no run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SkipCi {
    /// A job that ends at once as skipped, so that a required check ends.
    #[default]
    Status,
    /// Nothing at all.
    Silent,
}

/// What becomes of a pull request of the repository itself, whose commit a push brought as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PullRequests {
    /// Both run.
    #[default]
    Run,
    /// The first job of the commit answers for both, where filters and secrets agree.
    Reuse,
}

/// What a problem of a registration is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The forge does not take a status.
    Status,
    /// The forge does not take the token, or it sees or may too little.
    Token,
    /// The webhook was not made at the forge.
    Webhook,
}

/// Something that its owner has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about; of each kind there is one at most.
    pub about: ProblemKind,
    /// One sentence.
    pub message: String,
    /// Since when, by a gateway's clock; for people.
    pub since: Timestamp,
}

/// A right to post that the forge has not confirmed: the registration posts nothing, and the forge is asked
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnverifiedRight {
    /// Why it is not confirmed, in one sentence.
    pub reason: String,
    /// Questions that were not answered with yes, one after the other.
    #[serde(default)]
    pub tries: u32,
    /// When the forge is asked again, by a gateway's clock.
    pub again_at: Timestamp,
}

/// A registered repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repo {
    /// Its id, also the key.
    pub id: RepoId,
    /// Who registered it; owner of the jobs of its pushes.
    pub owner: UserId,
    /// Users who see its jobs.
    #[serde(default)]
    pub viewers: Vec<UserId>,
    /// Addresses that are invited to see them: whoever proved one to a provider does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invited: Vec<String>,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its function is called by; see [`crate::function`]. Absent only until a gateway has given it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Stored<FunctionName>>,
    /// The clone URL, without credentials.
    pub url: Stored<CloneUrl>,
    /// `github`, `gitea`, `gitlab` or `plain`.
    pub forge: Stored<Forge>,
    /// The forge's own number, which survives renaming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge_id: Option<u64>,
    /// The branch whose newest green commit its function is, as the forge names it; absent until it was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<Stored<RefName>>,
    /// What makes jobs.
    pub events: Vec<RepoEvent>,
    /// Branches that make jobs.
    #[serde(default)]
    pub branches: Filter,
    /// Paths that make jobs, besides what the manifest says.
    #[serde(default)]
    pub paths: Filter,
    /// Workers that may take its jobs.
    #[serde(default)]
    pub label: Label,
    /// Who may follow a status's link.
    #[serde(default)]
    pub links: PageAccess,
    /// The webhook's secret, sealed.
    pub sealed_secret: String,
    /// The token given with the registration, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
    /// Whether the operator's credential may be used for it.
    #[serde(default)]
    pub operator_credential: bool,
    /// The installation of the GitHub App that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<u64>,
    /// The forge's number of the webhook that was made there at the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<u64>,
    /// URLs that it had before it was renamed or transferred, newest first, on the same host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_urls: Vec<Stored<CloneUrl>>,
    /// Whether this registration is the one that posts statuses.
    #[serde(default)]
    pub posts: bool,
    /// That the forge has not confirmed yet that it may post; absent once it has, and where there is no
    /// credential to ask with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproved: Option<UnverifiedRight>,
    /// What becomes of pull requests from forks.
    #[serde(default)]
    pub forks: Forks,
    /// What becomes of pushes whose commit asks for no run.
    #[serde(default)]
    pub skip_ci: SkipCi,
    /// What becomes of pull requests of the repository itself.
    #[serde(default)]
    pub pull_requests: PullRequests,
    /// Where the forge's API is, where that was given or found out; else it follows from the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// Whether a webhook is wanted at the forge, made or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub webhook_wanted: bool,
    /// What its owner has to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Since when it is being removed: it takes nothing any more, and goes once the forge was told what
    /// became of its jobs. By a gateway's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing_since: Option<Timestamp>,
    /// Who may call its function.
    #[serde(flatten)]
    pub calls: CallSettings,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Repo {
    /// Whether it is being removed.
    pub fn is_removing(&self) -> bool {
        self.removing_since.is_some()
    }

    /// Whether a user was named as a viewer: by id, or by an address that is proved to be the user's.
    pub fn is_viewed_by(&self, user: &User) -> bool {
        let is_invited =
            |address: &str| self.invited.iter().any(|invited| invited.eq_ignore_ascii_case(address));
        self.viewers.contains(&user.id) || user.addresses().any(is_invited)
    }

    /// What is wrong with this.
    pub fn problem(&self, about: ProblemKind) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.about == about)
    }

    /// The same with this problem, or without one of its kind; one that is known already keeps its time.
    #[must_use]
    pub fn with_problem(&self, about: ProblemKind, message: Option<&str>, now: Timestamp) -> Self {
        if self.problem(about).map(|problem| problem.message.as_str()) == message {
            return self.clone();
        }
        let mut problems = self.problems.clone();
        problems.retain(|problem| problem.about != about);
        problems.extend(message.map(|message| Problem { about, message: message.to_owned(), since: now }));
        Self { problems, ..self.clone() }
    }
}
