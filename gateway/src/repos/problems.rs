//! What the owner of a registration has to mend, and who posts when one cannot.

use jiff::Timestamp;
use jobs::{CommitStatus, ProblemKind, Repo, RepoId, RepostReason, Unproved, bucket::Entry};

use crate::{
    auth::identity::Identity,
    error::ApiError,
    index::StatusIssue,
    repos::{
        Registrations,
        credentials::TOKEN_ENDED,
        permission::{Proof, rank, with_answer},
        status_owner::{are_others, is_refused},
    },
};

/// What mends a problem.
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

/// What mends a webhook whose deliveries are not signed with our secret.
pub(crate) const FIX_SECRET: &str =
    "enter this registration's secret at the forge's webhook again, or register the repository anew";

/// Commits that are looked through for refused ends; the others are said again in their own time.
const MAX_SAID_AGAIN: usize = 1_000;

/// Whether a forge's refusal is about who posts, and not about the commit.
fn is_about_credential(reason: &str) -> bool {
    let of_forge = reason.strip_prefix("the forge refuses the status: ");
    let is_right = |answer: &str| ["401", "403", "404"].iter().any(|code| answer.starts_with(code));
    of_forge.is_some_and(is_right) || reason.starts_with("the GitHub App may not")
}

impl Registrations {
    /// Notes a problem of a registration, or that there is none of its kind any more.
    pub(crate) async fn note_problem(
        &self,
        repo: RepoId,
        about: ProblemKind,
        message: Option<&str>,
    ) -> Result<Option<Entry<Repo>>, ApiError> {
        let noted = |now: &Entry<Repo>| {
            let next = now.value.with_problem(about, message, Timestamp::now());
            (next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(&repo.to_string(), noted).await?;
        if let Some(entry) = &entry {
            self.repos.note(entry.clone());
        }
        Ok(entry)
    }

    /// Takes in how the forge answered to the end of a commit's job.
    pub(crate) async fn note_answer(&self, key: &str, doubt: StatusIssue) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.commits.get(key).await? else { return Ok(()) };
        let commit = &entry.value;
        match (commit.rejection(), doubt.refusals) {
            (Some(reason), 1..) if is_about_credential(reason) => {
                self.status_was_refused(commit.repo(), reason).await
            }
            // That is noted already.
            (Some(reason), 1..) if reason == TOKEN_ENDED => self.hand_over(commit.repo()).await,
            (Some(_), 1..) | (None, 1..) => Ok(()),
            (_, 0) => {
                let had = self.repos.find(|repo| repo.id == commit.repo());
                let has = |of| had.iter().any(|entry| entry.value.problem(of).is_some());
                for about in [ProblemKind::Status, ProblemKind::Token] {
                    if has(about) {
                        self.note_problem(commit.repo(), about, None).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Tells posters to say again what the forge refused of a repository's commits: its credential was
    /// changed.
    pub(crate) async fn say_refused_again(&self, repo: RepoId) -> Result<(), ApiError> {
        let prefix = format!("{repo}.");
        for (key, doubt) in self.index.doubtful(MAX_SAID_AGAIN)? {
            if doubt.refusals == 0 || !key.starts_with(&prefix) {
                continue;
            }
            let repost = |now: &Entry<CommitStatus>| now.value.repost(RepostReason::Rejected);
            self.ledger.commits.change(&key, repost).await?;
            self.ledger.publish_status(&key).await?;
        }
        Ok(())
    }

    /// The forge refused a status of this registration: its owner is to see it.
    async fn status_was_refused(&self, repo: RepoId, reason: &str) -> Result<(), ApiError> {
        let found = self.ledger.repos.get(&repo.to_string()).await?;
        if found.is_none_or(|entry| !entry.value.posts || entry.value.is_removing()) {
            return Ok(());
        }
        self.note_problem(repo, ProblemKind::Status, Some(reason)).await?;
        self.hand_over(repo).await
    }

    /// Another registration that can post takes the place of one that the forge refuses. Where there is none
    /// it keeps it, and is tried again.
    async fn hand_over(&self, repo: RepoId) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.repos.get(&repo.to_string()).await? else { return Ok(()) };
        if !entry.value.posts || entry.value.is_removing() {
            return Ok(());
        }
        if let Some(other) = self.who_could_post(&entry.value).await? {
            self.settle(other).await?;
        }
        Ok(())
    }

    /// Lets another registration of the same repository post, if there is one that can.
    pub(crate) async fn let_another_post(&self, of: &Repo) -> Result<(), ApiError> {
        if let Some(other) = self.who_could_post(of).await? {
            let settled = self.settle(other).await?;
            if settled.value.posts {
                self.owner_changed(settled.value.id, of.id).await;
            }
        }
        Ok(())
    }

    /// Another registration of the same repository of which the forge says that it may push: one of an
    /// installation, else the oldest. One that the forge has not confirmed has its own time to be asked
    /// about: whoever registers a repository of others makes nobody wait.
    async fn who_could_post(&self, of: &Repo) -> Result<Option<Entry<Repo>>, ApiError> {
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
            let mut asked = entry.value.clone();
            let proof = self.ask_for_proof(&mut asked).await;
            let noted = |now: &Entry<Repo>| {
                let next = with_answer(&now.value, &asked, &proof);
                (now.revision == entry.revision && next != now.value).then_some(next)
            };
            let Some(entry) = self.ledger.repos.change(&entry.key, noted).await? else { continue };
            self.repos.note(entry.clone());
            if proof == Proof::Given {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Other registrations of the same repository, oldest first.
    pub(crate) fn registrations_of(&self, of: &Repo) -> Vec<Entry<Repo>> {
        let Some(url) = of.url.get() else { return Vec::new() };
        let scope = self.number_scope(of);
        let is_same = |repo: &Repo| {
            let Some(other) = repo.url.get() else { return false };
            let same_number = of.forge_id.is_some()
                && of.forge_id == repo.forge_id
                && other.authority() == url.authority()
                && self.number_scope(repo) == scope;
            let same_path = other.same_repository(url) && !are_others(of.forge_id, repo.forge_id);
            repo.id != of.id && (same_number || same_path)
        };
        let mut found = self.repos.find(is_same);
        found.sort_by_key(|entry| entry.value.id);
        found
    }

    /// Why a registration posts no statuses; `None` when it does. Whose the other registration is, is told
    /// to a caller who may know.
    pub(crate) fn silent_because(&self, repo: &Repo, caller: Option<&Identity>) -> Option<String> {
        if is_posting(repo) {
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
        if let Some(Unproved { reason, again_at, .. }) = &repo.unproved {
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
        let what = match is_posting(&other.value) {
            true if other.value.installation.is_some() => {
                "posts, with the GitHub App that is installed there"
            }
            true => "posts",
            false => "has the place, and the forge refuses it",
        };
        Some(format!("another registration of this repository {what}{}", whose.unwrap_or_default()))
    }
}

/// Whether a registration posts, as its owners are told: not while the forge refuses it.
pub(crate) fn is_posting(repo: &Repo) -> bool {
    repo.posts && !is_refused(repo) && !repo.is_removing()
}
