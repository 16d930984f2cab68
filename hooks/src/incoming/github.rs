//! Payloads of GitHub, of our `post-receive`, and of Gitea and Forgejo, which copy GitHub's.
//!
//! The traps: `repository.created_at` is a number in a push and a text elsewhere; an owner has
//! `login`, `name` or both; an organisation's ping has no repository; `head_commit` is null when
//! the ref was removed; Gitea cuts `commits` to five. None of these fields is needed here.

use jobs::{CommitSha, GitRef};
use serde::Deserialize;

use super::raw::{RawPush, RawRepository, lenient, name, sha};
use super::{
    Account, Incoming, Installation, InstallationAction, InstallationRepositories, InstalledRepository,
    Malformed, PullRequest, PullRequestAction, Push, Repository, Rerequested,
};

/// Which forge sent it: the payloads are alike, but not all events are sent by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Reports a deleted branch by a push with zeros, and by `delete` once more.
    Github,
    /// Gitea and Forgejo report a deleted branch by `delete` alone (seen on Gitea 1.25.4).
    Gitea,
}

/// Every field of every event that is read; which are required depends on the event.
#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(default, deserialize_with = "lenient")]
    action: Option<String>,
    /// Organisations' events have none, and events that are ignored anything.
    #[serde(default, deserialize_with = "lenient")]
    repository: Option<RepositoryField>,
    #[serde(default, deserialize_with = "lenient")]
    installation: Option<InstallationField>,
    #[serde(default, deserialize_with = "lenient")]
    sender: Option<Actor>,
}

impl Payload {
    fn action(&self) -> &str {
        self.action.as_deref().unwrap_or_default()
    }

    fn sender(&self) -> Option<String> {
        self.sender.as_ref().and_then(Actor::name).map(str::to_owned)
    }

    fn installation_id(&self) -> Option<u64> {
        self.installation.as_ref().map(|installation| installation.id)
    }

    fn repository(&self) -> Result<Repository, Malformed> {
        self.repository.as_ref().ok_or(Malformed::Name)?.raw().checked()
    }
}

#[derive(Debug, Deserialize)]
struct RepositoryField {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<u64>,
    full_name: String,
    #[serde(default, deserialize_with = "lenient")]
    clone_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    html_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    private: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    default_branch: Option<String>,
}

impl RepositoryField {
    fn raw(&self) -> RawRepository<'_> {
        RawRepository {
            forge_id: self.id,
            full_name: &self.full_name,
            clone_url: self.clone_url.as_deref(),
            html_url: self.html_url.as_deref(),
            private: self.private.unwrap_or(true),
            default_branch: self.default_branch.as_deref(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct InstallationField {
    id: u64,
    #[serde(default, deserialize_with = "lenient")]
    account: Option<Account>,
    #[serde(default, deserialize_with = "lenient")]
    app_id: Option<u64>,
}

/// `pusher` has `name`, `sender` has `login`, Gitea's have `login` and an empty `full_name`.
#[derive(Debug, Deserialize)]
struct Actor {
    login: Option<String>,
    name: Option<String>,
}

impl Actor {
    fn name(&self) -> Option<&str> {
        self.login.as_deref().or(self.name.as_deref())
    }
}

#[derive(Debug, Deserialize)]
struct PushPayload {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default, deserialize_with = "lenient")]
    forced: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    head_commit: Option<CommitField>,
    #[serde(default, deserialize_with = "lenient")]
    pusher: Option<Actor>,
}

#[derive(Debug, Deserialize)]
struct CommitField {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    message: String,
}

#[derive(Debug, Deserialize)]
struct DeletePayload {
    #[serde(rename = "ref")]
    name: String,
    ref_type: String,
}

#[derive(Debug, Deserialize)]
struct MergeGroupPayload {
    merge_group: MergeGroupField,
}

#[derive(Debug, Deserialize)]
struct MergeGroupField {
    head_ref: String,
}

#[derive(Debug, Deserialize)]
struct PullRequestPayload {
    number: u64,
    /// Of `synchronize` alone.
    #[serde(default, deserialize_with = "lenient")]
    before: Option<CommitSha>,
    pull_request: PullRequestField,
}

#[derive(Debug, Deserialize)]
struct PullRequestField {
    head: Side,
    base: Side,
    #[serde(default, deserialize_with = "lenient")]
    draft: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    #[serde(default, deserialize_with = "lenient")]
    repo: Option<SideRepository>,
}

#[derive(Debug, Deserialize)]
struct SideRepository {
    id: u64,
    full_name: String,
}

#[derive(Debug, Deserialize)]
struct CheckPayload {
    #[serde(alias = "check_suite")]
    check_run: CheckField,
}

#[derive(Debug, Deserialize)]
struct CheckField {
    id: u64,
    head_sha: String,
    #[serde(default, deserialize_with = "lenient")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    external_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    app: Option<AppField>,
}

#[derive(Debug, Deserialize)]
struct AppField {
    id: u64,
}

#[derive(Debug, Default, Deserialize)]
struct RepositoriesPayload {
    repositories: Option<Vec<InstalledField>>,
    repositories_added: Option<Vec<InstalledField>>,
    repositories_removed: Option<Vec<InstalledField>>,
}

#[derive(Debug, Deserialize)]
struct InstalledField {
    id: u64,
    full_name: String,
    #[serde(default)]
    private: Option<bool>,
}

pub(super) fn parse(dialect: Dialect, event: &str, json: &[u8]) -> Result<Incoming, Malformed> {
    let payload: Payload = read(json)?;
    match event {
        "push" => push(&payload, &read(json)?),
        "delete" if dialect == Dialect::Gitea => deletion(&payload, &read(json)?),
        "delete" => Ok(ignored("the push event tells of what was removed")),
        "merge_group" if payload.action() == "destroyed" => merge_group(&payload, &read(json)?),
        "create" => Ok(ignored("the push event tells of what was made")),
        "ping" => Ok(Incoming::Ping),
        "pull_request" => pull_request(&payload, &read(json)?),
        "check_run" | "check_suite" if payload.action() == "rerequested" => {
            rerequested(event, &payload, &read(json)?)
        }
        "installation" => installation(&payload, &read(json)?),
        "installation_repositories" => installation_repositories(&payload, &read(json)?),
        other => Ok(nothing_to_do(other, payload.action())),
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(json).map_err(Malformed::Json)
}

fn ignored(why: &str) -> Incoming {
    Incoming::Ignored(why.to_owned())
}

/// Names event and action, both from outside: short, and printable.
fn nothing_to_do(event: &str, action: &str) -> Incoming {
    let words = format!("{event} {action}");
    let shown: String = words.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    Incoming::Ignored(format!("nothing to do for {shown}"))
}

fn push(payload: &Payload, push: &PushPayload) -> Result<Incoming, Malformed> {
    let pusher = push.pusher.as_ref().or(payload.sender.as_ref());
    let raw = RawPush {
        repository: payload.repository.as_ref().ok_or(Malformed::Name)?.raw(),
        reference: &push.reference,
        before: &push.before,
        after: &push.after,
        commit: push.head_commit.as_ref().and_then(|commit| commit.id.as_deref()),
        forced: push.forced.unwrap_or(false),
        message: push.head_commit.as_ref().map(|commit| commit.message.as_str()),
        pusher: pusher.and_then(Actor::name),
        installation: payload.installation_id(),
    };
    raw.checked()
}

/// Gitea reports a deleted tag twice, once as a push; processing a deletion twice does no harm.
fn deletion(payload: &Payload, delete: &DeletePayload) -> Result<Incoming, Malformed> {
    let reference = match delete.ref_type.as_str() {
        "branch" => GitRef::from_branch(&delete.name)?,
        "tag" => GitRef::from_tag(&delete.name)?,
        other => return Ok(nothing_to_do("delete", other)),
    };
    Ok(Incoming::Push(removed(payload, reference)?))
}

/// A group left the merge queue: its branch is of no use any more, removed or not yet.
fn merge_group(payload: &Payload, event: &MergeGroupPayload) -> Result<Incoming, Malformed> {
    let reference = event.merge_group.head_ref.parse()?;
    Ok(Incoming::Push(removed(payload, reference)?))
}

fn removed(payload: &Payload, reference: GitRef) -> Result<Push, Malformed> {
    Ok(Push {
        repository: payload.repository()?,
        reference,
        before: None,
        after: None,
        tagged: None,
        forced: false,
        head_message: None,
        skip_ci: false,
        pusher: payload.sender(),
        installation: payload.installation_id(),
        synthetic: false,
    })
}

fn pull_request(payload: &Payload, event: &PullRequestPayload) -> Result<Incoming, Malformed> {
    let action = match payload.action() {
        "opened" => PullRequestAction::Opened,
        "reopened" => PullRequestAction::Reopened,
        // GitHub's spelling and Gitea's.
        "synchronize" | "synchronized" => PullRequestAction::Synchronized,
        "ready_for_review" => PullRequestAction::ReadyForReview,
        "closed" => PullRequestAction::Closed,
        other => return Ok(nothing_to_do("pull_request", other)),
    };
    let repository = payload.repository()?;
    let PullRequestField { head, base, draft } = &event.pull_request;
    // A repository that is gone was not this one, or this payload could not be.
    let same = |side: &SideRepository| repository.forge_id == Some(side.id);
    Ok(Incoming::PullRequest(PullRequest {
        from_fork: !head.repo.as_ref().is_some_and(same),
        action,
        number: event.number,
        head_sha: head.sha.parse().map_err(|source| Malformed::Sha { field: "head.sha", source })?,
        previous_sha: event.before.clone(),
        head_branch: GitRef::from_branch(&head.branch)?.short().to_owned(),
        head_repository: head.repo.as_ref().map(|repo| name(&repo.full_name)).transpose()?,
        base_branch: GitRef::from_branch(&base.branch)?.short().to_owned(),
        base_sha: sha("base.sha", &base.sha)?,
        draft: draft.unwrap_or(false),
        sender: payload.sender(),
        installation: payload.installation_id(),
        repository,
    }))
}

fn rerequested(event: &str, payload: &Payload, check: &CheckPayload) -> Result<Incoming, Malformed> {
    let check = &check.check_run;
    Ok(Incoming::Rerequested(Rerequested {
        repository: payload.repository()?,
        sha: check.head_sha.parse().map_err(|source| Malformed::Sha { field: "head_sha", source })?,
        check_run: (event == "check_run").then_some(check.id),
        name: check.name.clone(),
        external_id: check.external_id.clone().filter(|id| !id.is_empty()),
        app_id: check.app.as_ref().map(|app| app.id),
        sender: payload.sender(),
        installation: payload.installation_id(),
    }))
}

fn installation(payload: &Payload, lists: &RepositoriesPayload) -> Result<Incoming, Malformed> {
    let action = match payload.action() {
        "created" => InstallationAction::Created,
        "deleted" => InstallationAction::Deleted,
        "suspend" => InstallationAction::Suspended,
        "unsuspend" => InstallationAction::Unsuspended,
        "new_permissions_accepted" => InstallationAction::PermissionsAccepted,
        other => return Ok(nothing_to_do("installation", other)),
    };
    let (id, account, app_id) = installed(payload)?;
    let repositories = repositories(lists.repositories.as_deref())?;
    Ok(Incoming::Installation(Installation {
        id,
        action,
        account,
        app_id,
        repositories,
        sender: payload.sender(),
    }))
}

fn installation_repositories(payload: &Payload, lists: &RepositoriesPayload) -> Result<Incoming, Malformed> {
    let (id, account, app_id) = installed(payload)?;
    Ok(Incoming::InstallationRepositories(InstallationRepositories {
        id,
        account,
        app_id,
        added: repositories(lists.repositories_added.as_deref())?,
        removed: repositories(lists.repositories_removed.as_deref())?,
        sender: payload.sender(),
    }))
}

fn installed(payload: &Payload) -> Result<(u64, Account, Option<u64>), Malformed> {
    let installation = payload.installation.as_ref().ok_or(Malformed::Name)?;
    let account = installation.account.clone().ok_or(Malformed::Name)?;
    name(&account.login)?;
    Ok((installation.id, account, installation.app_id))
}

fn repositories(list: Option<&[InstalledField]>) -> Result<Vec<InstalledRepository>, Malformed> {
    let checked = |field: &InstalledField| {
        Ok(InstalledRepository {
            forge_id: field.id,
            full_name: name(&field.full_name)?,
            private: field.private.unwrap_or(true),
        })
    };
    list.unwrap_or_default().iter().map(checked).collect()
}
