//! Whether a registration may post: its forge is asked, with that registration's own credential.
//!
//! "Not found", an error and no answer prove nothing: such a registration runs jobs and posts nothing. It is
//! asked about again with longer and longer waits ([`retry`]), and at its next delivery. What a registrant
//! says or signs is never asked for and never believed. Whether a token may also write statuses, only
//! writing shows; see [`crate::repos::problems`].

use crate::repos::Registrations;

mod retry;

use hooks::forge_api::ForgeError;
use jiff::{SignedDuration, Timestamp};
use jobs::{ProblemKind, Repo, Unproved, bucket::Entry};
pub(crate) use retry::{Retries, rank};

use crate::{error::ApiError, repos::forge_webhook::ASKED_FOR};

/// After the first question without a yes the forge is asked again this late: most outages are short, and
/// whoever mends a token at the forge waits for it.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// The wait doubles up to this: a registration that is never confirmed costs its forge a request an hour.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(3600);

/// What the forge says about a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// This credential may push there, or is the App's that is installed there.
    Given,
    /// It may not, or the forge does not know the repository; one sentence.
    Denied(String),
    /// Nothing; one sentence.
    Silent(String),
    /// There is nothing to ask with.
    NoCredential,
}

impl Proof {
    /// What the forge said against it.
    pub(crate) fn denial(&self) -> Option<&str> {
        match self {
            Self::Denied(why) => Some(why),
            Self::Given | Self::Silent(_) | Self::NoCredential => None,
        }
    }
}

/// What stands in a registration's record until it is decided whether it posts: a crash in between is made
/// up for by the next question.
pub(crate) fn undecided() -> Unproved {
    let again_at = Timestamp::now() + FIRST_WAIT;
    Unproved { reason: "the forge is being asked whether it may".to_owned(), tries: 0, again_at }
}

/// The same after another question without a yes.
fn still_unproved(before: Option<&Unproved>, reason: &str, now: Timestamp) -> Unproved {
    let tries = before.map_or(0, |before| before.tries).saturating_add(1);
    let doubled = FIRST_WAIT.checked_mul(1 << (tries - 1).min(16)).unwrap_or(LONGEST_WAIT);
    Unproved { reason: reason.to_owned(), tries, again_at: now + doubled.min(LONGEST_WAIT) }
}

/// A registration with what was learned about it: `asked` is the one that the question was about.
pub(crate) fn with_answer(repo: &Repo, asked: &Repo, proof: &Proof) -> Repo {
    let now = Timestamp::now();
    let learned = Repo { forge_id: asked.forge_id, installation: asked.installation, ..repo.clone() };
    match proof {
        Proof::Given => {
            Repo { unproved: Some(undecided()), ..learned.with_problem(ProblemKind::Token, None, now) }
        }
        Proof::Denied(why) => Repo {
            posts: false,
            unproved: Some(still_unproved(repo.unproved.as_ref(), why, now)),
            ..learned.with_problem(ProblemKind::Token, Some(why), now)
        },
        Proof::Silent(why) => {
            Repo { posts: false, unproved: Some(still_unproved(repo.unproved.as_ref(), why, now)), ..learned }
        }
        Proof::NoCredential => {
            Repo { posts: false, unproved: None, ..learned.with_problem(ProblemKind::Token, None, now) }
        }
    }
}

/// Whether the forge would be asked the same about both.
fn is_same_question(one: &Repo, other: &Repo) -> bool {
    let question = |repo: &Repo| {
        let Repo { url, forge, api_url, sealed_token, operator_credential, installation, .. } = repo.clone();
        (url, forge, api_url, sealed_token, operator_credential, installation)
    };
    question(one) == question(other)
}

impl Registrations {
    /// Asks the forge, in [`ASKED_FOR`] and a few times a minute at most, and notes in `repo` what it says of
    /// the repository.
    pub(crate) async fn ask_for_proof(&self, repo: &mut Repo) -> Proof {
        if !self.may_be_asked_about(repo) {
            return Proof::NoCredential;
        }
        if !self.limits.allows_forge_query(repo.id) {
            return Proof::Silent("the forge was asked too often within a minute".to_owned());
        }
        let id = repo.id;
        let asking = tokio::time::timeout(ASKED_FOR, self.question(repo));
        let proof = asking.await.unwrap_or_else(|_| {
            Proof::Silent(format!("the forge did not answer within {} s", ASKED_FOR.as_secs()))
        });
        match &proof {
            Proof::Given => {}
            Proof::Denied(reason) | Proof::Silent(reason) => {
                tracing::info!(repo = %id, reason, "right to post not confirmed by the forge");
            }
            Proof::NoCredential => {}
        }
        proof
    }

    /// Whether there is anything to ask: a credential, or the number of a repository without one.
    fn may_be_asked_about(&self, repo: &Repo) -> bool {
        let may_get_one = repo.operator_credential && self.app.is_some();
        self.has_credential(repo) || may_get_one || repo.forge_id.is_none()
    }

    async fn question(&self, repo: &mut Repo) -> Proof {
        let unknown = self.look_for_installation(repo).await.err();
        if !self.has_credential(repo) {
            if let (None, Some(Ok(found))) = (repo.forge_id, self.look_up_anyway(repo).await) {
                repo.forge_id = Some(found.id);
            }
            return unknown.map_or(Proof::NoCredential, Proof::Silent);
        }
        match self.look_up(repo).await {
            Some(Ok(found)) => {
                repo.forge_id = Some(found.id);
                // An installation pushes nothing; its right to post is its own.
                match found.may_push {
                    _ if repo.installation.is_some() && repo.sealed_token.is_none() => Proof::Given,
                    Some(true) => Proof::Given,
                    Some(false) => {
                        Proof::Denied("the token may not push there, and so posts no statuses".to_owned())
                    }
                    None => Proof::Denied("the forge does not say that the token may push there".to_owned()),
                }
            }
            Some(Err(error)) => match error {
                ForgeError::Unavailable { .. } | ForgeError::Refused { .. } => {
                    Proof::Silent(error.to_string())
                }
                ForgeError::Unauthorized { .. }
                | ForgeError::Forbidden { .. }
                | ForgeError::NotFound { .. }
                | ForgeError::Moved { .. } => Proof::Denied(error.to_string()),
            },
            None => Proof::Silent("the forge cannot be asked with this credential at the moment".to_owned()),
        }
    }

    /// Where the operator's credential may be used: the App's installation lends its tokens, if there is one.
    ///
    /// # Errors
    /// GitHub does not tell; one sentence.
    async fn look_for_installation(&self, repo: &mut Repo) -> Result<(), String> {
        let Some(url) = repo.url.get() else { return Ok(()) };
        let Some(app) = self.app.as_ref().filter(|_| repo.operator_credential) else { return Ok(()) };
        let Some((owner, name)) = url.owner_and_name().filter(|_| url.authority() == self.github.authority())
        else {
            return Ok(());
        };
        match app.installed_on(&owner, &name).await {
            Ok(Some(installed)) => {
                repo.installation = Some(installed.installation);
                repo.forge_id = Some(installed.repository_id);
                Ok(())
            }
            Ok(None) => {
                repo.installation = None;
                Ok(())
            }
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "GitHub does not tell about the installation");
                Err(error.to_string())
            }
        }
    }

    /// Asks the forge about a registration, and decides by its answer whether it posts. One that posts keeps
    /// its place while the forge is silent: its right was confirmed before.
    pub(crate) async fn prove(&self, entry: Entry<Repo>) -> Result<Entry<Repo>, ApiError> {
        if entry.value.is_removing() {
            return Ok(entry);
        }
        let mut asked = entry.value.clone();
        let proof = self.ask_for_proof(&mut asked).await;
        if entry.value.posts && matches!(proof, Proof::Silent(_)) {
            return Ok(entry);
        }
        self.take_answer(entry, &asked, &proof).await
    }

    /// Decides by what the forge said whether a registration posts, unless it was changed meanwhile.
    pub(crate) async fn take_answer(
        &self,
        before: Entry<Repo>,
        asked: &Repo,
        proof: &Proof,
    ) -> Result<Entry<Repo>, ApiError> {
        let answered = |now: &Entry<Repo>| {
            let next = with_answer(&now.value, asked, proof);
            (is_same_question(&now.value, &before.value) && next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(&before.key, answered).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        self.act_on(before, entry, proof).await
    }

    /// What follows from an answer that is written down: a place is taken, or left to others.
    pub(crate) async fn act_on(
        &self,
        before: Entry<Repo>,
        entry: Entry<Repo>,
        proof: &Proof,
    ) -> Result<Entry<Repo>, ApiError> {
        let is_another = before.value.forge_id != entry.value.forge_id;
        let keeps = *proof == Proof::Given && !is_another;
        if !keeps && self.leave_place(&before.value).await? {
            self.let_another_post(&before.value).await?;
        }
        match proof {
            Proof::Given => self.settle(entry).await,
            Proof::Denied(_) | Proof::Silent(_) | Proof::NoCredential => Ok(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forge_is_asked_again_after_a_minute_and_then_less_and_less_often() {
        let now = Timestamp::now();
        let mut unproved = None;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let next = still_unproved(unproved.as_ref(), "no", now);
            assert_eq!(next.again_at, now + SignedDuration::from_mins(minutes));
            unproved = Some(next);
        }
        let many = Unproved { reason: String::new(), tries: u32::MAX, again_at: now };
        assert_eq!(still_unproved(Some(&many), "no", now).again_at, now + LONGEST_WAIT);
    }
}
