//! Problems that the owner of a registration has to fix, and the hand-over to another status owner.

use jiff::Timestamp;
use jobs::{CommitStatus, ProblemKind, Repo, RepoId, RepostReason, UnverifiedRight, bucket::Entry};

use crate::{
    auth::identity::Identity,
    error::ApiError,
    index::StatusIssue,
    repos::{
        Registrations,
        credentials::TOKEN_REVOKED,
        permission::{Permission, rank, with_permission},
        status_owner::{are_different_repositories, is_rejected_by_forge},
    },
};

/// How to fix a problem.
pub(crate) fn fix(about: ProblemKind) -> &'static str {
    match about {
        ProblemKind::Status => {
            "give a token that may write statuses: gitfaas repo set ID --token-stdin; it is tried again by itself"
        }
        ProblemKind::Token => "give another token: gitfaas repo set ID --token-stdin",
        ProblemKind::Webhook => {
            "enter webhook URL and secret at the forge, or give a token that may: gitfaas repo set ID --token-stdin"
        }
    }
}

/// How to fix a webhook whose deliveries are not signed with the registration's secret.
pub(crate) const FIX_SECRET: &str =
    "enter this registration's secret at the forge's webhook again, or register the repository anew";

/// Commits that are scanned for rejected final statuses; the others are reposted on their own schedule.
const MAX_REPOSTS: usize = 1_000;

/// Whether a forge rejected a status because of the credential, and not because of the commit.
fn is_about_credential(reason: &str) -> bool {
    let of_forge = reason.strip_prefix("the forge refuses the status: ");
    let is_right = |answer: &str| ["401", "403", "404"].iter().any(|code| answer.starts_with(code));
    of_forge.is_some_and(is_right) || reason.starts_with("the GitHub App may not")
}

impl Registrations {
    /// Records a problem of a registration, or clears the one of this kind.
    pub(crate) async fn record_problem(
        &self,
        repo: RepoId,
        about: ProblemKind,
        message: Option<&str>,
    ) -> Result<Option<Entry<Repo>>, ApiError> {
        let recorded = |now: &Entry<Repo>| {
            let next = now.value.with_problem(about, message, Timestamp::now());
            (next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(&repo.to_string(), recorded).await?;
        if let Some(entry) = &entry {
            self.repos.note(entry.clone());
        }
        Ok(entry)
    }

    /// Records how the forge answered to the final status of a commit.
    pub(crate) async fn record_forge_answer(&self, key: &str, issue: StatusIssue) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.commits.get(key).await? else { return Ok(()) };
        let commit = &entry.value;
        match (commit.rejection(), issue.rejections) {
            (Some(reason), 1..) if is_about_credential(reason) => {
                self.record_rejection(commit.repo(), reason).await
            }
            // The problem is recorded already.
            (Some(reason), 1..) if reason == TOKEN_REVOKED => {
                self.hand_over_status_owner(commit.repo()).await
            }
            (Some(_), 1..) | (None, 1..) => Ok(()),
            (_, 0) => {
                let had = self.repos.find(|repo| repo.id == commit.repo());
                let has = |of| had.iter().any(|entry| entry.value.problem(of).is_some());
                for about in [ProblemKind::Status, ProblemKind::Token] {
                    if has(about) {
                        self.record_problem(commit.repo(), about, None).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Queues the rejected statuses of a repository's commits again, after its credential was changed.
    pub(crate) async fn repost_rejected(&self, repo: RepoId) -> Result<(), ApiError> {
        let prefix = format!("{repo}.");
        for (key, issue) in self.index.run(|tables| tables.status_issues(MAX_REPOSTS)).await? {
            if issue.rejections == 0 || !key.starts_with(&prefix) {
                continue;
            }
            let repost = |now: &Entry<CommitStatus>| now.value.repost(RepostReason::Rejected);
            self.ledger.commits.change(&key, repost).await?;
            self.ledger.publish_status(&key).await?;
        }
        Ok(())
    }

    /// Records that the forge rejected a status, for the owner to see.
    async fn record_rejection(&self, repo: RepoId, reason: &str) -> Result<(), ApiError> {
        let found = self.ledger.repos.get(&repo.to_string()).await?;
        if found.is_none_or(|entry| !entry.value.posts || entry.value.is_removing()) {
            return Ok(());
        }
        self.record_problem(repo, ProblemKind::Status, Some(reason)).await?;
        self.hand_over_status_owner(repo).await
    }

    /// Another registration with permission replaces one that the forge rejects. Where there is none it stays
    /// the status owner, and is retried.
    async fn hand_over_status_owner(&self, repo: RepoId) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.repos.get(&repo.to_string()).await? else { return Ok(()) };
        if !entry.value.posts || entry.value.is_removing() {
            return Ok(());
        }
        if let Some(other) = self.find_candidate(&entry.value).await? {
            self.elect_status_owner(other).await?;
        }
        Ok(())
    }

    /// Makes another registration of the same repository the status owner, if one has permission.
    pub(crate) async fn elect_another_status_owner(&self, of: &Repo) -> Result<(), ApiError> {
        if let Some(other) = self.find_candidate(of).await? {
            let updated = self.elect_status_owner(other).await?;
            if updated.value.posts {
                self.audit_owner_change(updated.value.id, of.id).await;
            }
        }
        Ok(())
    }

    /// Another registration of the same repository whose permission the forge confirms: one of an
    /// installation, else the oldest. One whose permission is pending is left to its own retries, so that a
    /// registration of somebody else's repository delays nobody.
    async fn find_candidate(&self, of: &Repo) -> Result<Option<Entry<Repo>>, ApiError> {
        let mut others = self.registrations_of(of);
        others.sort_by_key(|entry| rank(&entry.value));
        for other in others {
            let Some(entry) = self.ledger.repos.get(&other.key).await? else { continue };
            let is_waiting =
                entry.value.unproved.is_some() || entry.value.problem(ProblemKind::Status).is_some();
            let is_out = entry.value.posts || entry.value.is_removing() || !self.has_credential(&entry.value);
            if is_waiting || is_out {
                continue;
            }
            let mut checked = entry.value.clone();
            let permission = self.check_permission(&mut checked).await;
            let recorded = |now: &Entry<Repo>| {
                let next = with_permission(&now.value, &checked, &permission);
                (now.revision == entry.revision && next != now.value).then_some(next)
            };
            let Some(entry) = self.ledger.repos.change(&entry.key, recorded).await? else { continue };
            self.repos.note(entry.clone());
            if permission == Permission::Granted {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Other registrations of the same repository, oldest first.
    pub(crate) fn registrations_of(&self, of: &Repo) -> Vec<Entry<Repo>> {
        let Some(url) = of.url.get() else { return Vec::new() };
        let scope = self.id_scope(of);
        let is_same = |repo: &Repo| {
            let Some(other) = repo.url.get() else { return false };
            let same_id = of.forge_id.is_some()
                && of.forge_id == repo.forge_id
                && other.authority() == url.authority()
                && self.id_scope(repo) == scope;
            let same_path =
                other.same_repository(url) && !are_different_repositories(of.forge_id, repo.forge_id);
            repo.id != of.id && (same_id || same_path)
        };
        let mut found = self.repos.find(is_same);
        found.sort_by_key(|entry| entry.value.id);
        found
    }

    /// Why a registration reports no statuses; `None` when it does. The owner of the other registration is
    /// named to a caller who may see it.
    pub(crate) fn why_not_reporting(&self, repo: &Repo, caller: Option<&Identity>) -> Option<String> {
        if reports_status(repo) {
            return None;
        }
        if repo.is_removing() {
            return Some("it is being removed".to_owned());
        }
        for about in [ProblemKind::Token, ProblemKind::Status] {
            if let Some(problem) = repo.problem(about) {
                return Some(problem.message.clone());
            }
        }
        if repo.forge.get() == Some(&hooks::Forge::Plain) {
            return Some("a plain git server takes no statuses".to_owned());
        }
        if !self.has_credential(repo) {
            return Some("there is no token".to_owned());
        }
        if let Some(UnverifiedRight { reason, again_at, .. }) = &repo.unproved {
            let at = again_at.strftime("%Y-%m-%d %H:%M:%S UTC");
            return Some(format!("{reason}; it is asked again at {at}, and at the next delivery"));
        }
        let other = self.registrations_of(repo).into_iter().find(|other| other.value.posts);
        let Some(other) = other else {
            let why = match repo.installation {
                Some(_) => "the GitHub App is suspended there, or may not post",
                None => "the forge has not said yet that it may",
            };
            return Some(why.to_owned());
        };
        let whose = caller.filter(|caller| caller.can_view(&other.value)).and_then(|_| {
            let found = self.users.find(|user| user.id == other.value.owner);
            found.first().map(|user| format!(" ({}, {})", other.value.id, user.value.email))
        });
        let what = match reports_status(&other.value) {
            true if other.value.installation.is_some() => {
                "posts, with the GitHub App that is installed there"
            }
            true => "posts",
            false => "has the place, and the forge refuses it",
        };
        Some(format!("another registration of this repository {what}{}", whose.unwrap_or_default()))
    }
}

/// Whether a registration reports statuses, as shown to its owners: not while the forge rejects them.
pub(crate) fn reports_status(repo: &Repo) -> bool {
    repo.posts && !is_rejected_by_forge(repo) && !repo.is_removing()
}
