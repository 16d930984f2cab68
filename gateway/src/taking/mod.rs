//! Taking a push: from a signed delivery to jobs, in steps that can each be done again.
//!
//! The order is that of the design: entry in `deliveries` (with the ids of the jobs it will make),
//! `pushes`, record, `heads`, `commits` and STATUSES, message in JOBS, verdict into the entry. A
//! crash between any two leaves an entry without a verdict, which whoever meets it finishes.
//! `heads` comes before the message in JOBS: a worker that has the job looks there.

mod heads;
mod judge;

use hooks::{CloneUrl, GitRef, Incoming, Push};
use jobs::{
    Cause, Delivery, Job, JobId, NewJob, Outcome, Repo, Trigger, Verdict,
    bucket::{BucketError, Entry},
};
use serde_json::Map;

use crate::{error::ApiError, gateway::Gateway};
use judge::{Judgement, judge};

/// Why a delivery with a full queue makes no running job; noted before its record exists.
const QUEUE_FULL: &str = "the owner's queue is full";

/// A signed delivery.
pub(crate) struct Arrival {
    pub(crate) hook: String,
    pub(crate) delivery_id: String,
    /// SHA-256 of the body: its id where the forge's cannot be used.
    pub(crate) digest: String,
    pub(crate) event: String,
    /// What it says, or why it cannot be understood.
    pub(crate) incoming: Result<Incoming, String>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: String,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<String>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) malformed: bool,
}

impl Gateway {
    /// Takes a signed delivery, once.
    pub(crate) async fn take(&self, arrival: Arrival, repo: Option<Repo>) -> Result<Taken, ApiError> {
        let kept = match &arrival.incoming {
            Ok(incoming) => Some(serde_json::to_value(incoming).expect("an event is JSON")),
            Err(_) => None,
        };
        let (judgement, malformed) = match &arrival.incoming {
            Ok(incoming) => (judge(repo.as_ref(), incoming), false),
            Err(why) => (Judgement::Refused(why.clone()), true),
        };
        let mut delivery = Delivery {
            hook: arrival.hook,
            delivery_id: arrival.delivery_id,
            event: arrival.event,
            repo: repo.as_ref().map(|repo| repo.id),
            jobs: Vec::new(),
            verdict: None,
            reason: None,
            incoming: kept,
            received_at: None,
            replay_of: None,
            other: Map::new(),
        };
        self.plan(&mut delivery, judgement, repo.as_ref())?;
        let mut digest = Some(arrival.digest);
        loop {
            let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
            let entry = match self.enter(&key, &delivery).await? {
                Entered::Now(entry) => {
                    self.move_head_of_filtered(repo.as_ref(), &entry.value).await?;
                    entry
                }
                Entered::Before(entry) => entry,
                // The delivery id is not signed: another's must not stand in this one's way.
                Entered::AnotherContent => match digest.take() {
                    Some(digest) => {
                        delivery.delivery_id = digest;
                        continue;
                    }
                    None => return Err(ApiError::Conflict("the delivery was taken otherwise".to_owned())),
                },
            };
            let entry = self.finish_delivery(entry, repo.as_ref()).await?;
            return Ok(Taken { malformed, ..taken(&entry) });
        }
    }

    /// Judges a kept push anew, without the content rule, and makes new jobs.
    pub(crate) async fn replay(&self, of: &Entry<Delivery>, repo: &Repo) -> Result<Taken, ApiError> {
        let kept = of
            .value
            .incoming
            .clone()
            .ok_or_else(|| ApiError::Conflict("nothing of it was kept".to_owned()))?;
        let incoming: Incoming =
            serde_json::from_value(kept.clone()).map_err(|error| ApiError::Internal(error.into()))?;
        let mut delivery = Delivery {
            delivery_id: format!("replay-{}", JobId::new()),
            jobs: Vec::new(),
            verdict: None,
            reason: None,
            incoming: Some(kept),
            received_at: None,
            replay_of: Some(of.key.clone()),
            other: Map::new(),
            ..of.value.clone()
        };
        let judgement = match judge(Some(repo), &incoming) {
            Judgement::Removed => Judgement::Ignored("the ref was removed".to_owned()),
            other => other,
        };
        self.plan(&mut delivery, judgement, Some(repo))?;
        if let Some(first) = of.value.jobs.first() {
            delivery.other.insert("rerun_of".to_owned(), first.to_string().into());
        }
        let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
        self.ledger.deliveries.create(&key, &delivery).await?;
        let entry = self.ledger.deliveries.get(&key).await?.ok_or(ApiError::NotFound("delivery"))?;
        Ok(taken(&self.finish_delivery(entry, Some(repo)).await?))
    }

    /// Writes into a new entry what will be done: a verdict, or the jobs to be made.
    fn plan(
        &self,
        delivery: &mut Delivery,
        judgement: Judgement,
        repo: Option<&Repo>,
    ) -> Result<(), ApiError> {
        match judgement {
            Judgement::Ignored(why) => {
                delivery.verdict = Some(Verdict::Ignored);
                delivery.reason = Some(why);
            }
            Judgement::Refused(why) => {
                delivery.verdict = Some(Verdict::Refused);
                delivery.reason = Some(why);
            }
            Judgement::Removed => {}
            Judgement::Run(_) => {
                delivery.jobs = vec![JobId::new()];
                if repo.is_some_and(|repo| self.queue_is_full(repo.owner).unwrap_or(false)) {
                    delivery.reason = Some(QUEUE_FULL.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Creates the entry. What was ignored or refused before is judged anew: dedupe on accepted, not on
    /// seen.
    async fn enter(&self, key: &str, delivery: &Delivery) -> Result<Entered, ApiError> {
        loop {
            match self.ledger.deliveries.create(key, delivery).await {
                Ok(_) => {
                    if let Some(entry) = self.ledger.deliveries.get(key).await? {
                        return Ok(Entered::Now(entry));
                    }
                    continue;
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.ledger.deliveries.get(key).await? else { continue };
            let judged_anew = match found.value.verdict {
                Some(Verdict::Ignored | Verdict::Refused) => true,
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Held) | None => false,
            };
            if !judged_anew {
                return Ok(match found.value.incoming == delivery.incoming {
                    true => Entered::Before(found),
                    false => Entered::AnotherContent,
                });
            }
            let again = Delivery {
                received_at: found.value.received_at.or(Some(found.written_at)),
                other: found.value.other.clone(),
                ..delivery.clone()
            };
            match self.ledger.deliveries.update(key, &again, found.revision).await {
                Ok(_) => {
                    if let Some(entry) = self.ledger.deliveries.get(key).await? {
                        return Ok(Entered::Before(entry));
                    }
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what an entry without a verdict says; one with a verdict is returned as it is.
    pub(crate) async fn finish_delivery(
        &self,
        entry: Entry<Delivery>,
        repo: Option<&Repo>,
    ) -> Result<Entry<Delivery>, ApiError> {
        if entry.value.verdict.is_some() {
            return Ok(entry);
        }
        let incoming = entry.value.incoming.clone().map(serde_json::from_value::<Incoming>);
        let decided = match (incoming, repo) {
            (Some(Ok(Incoming::Push(push))), Some(repo)) => self.run_push(&entry.value, &push, repo).await?,
            // The registration was removed in between, or a newer gateway wrote this.
            (Some(_) | None, _) => Decided::because(Verdict::Ignored, "the repository is not registered"),
        };
        let with_verdict = |now: &Entry<Delivery>| {
            now.value.verdict.is_none().then(|| Delivery {
                verdict: Some(decided.verdict),
                reason: decided.reason.clone(),
                jobs: decided.jobs.clone(),
                received_at: now.value.received_at.or(Some(now.written_at)),
                ..now.value.clone()
            })
        };
        let written = self.ledger.deliveries.change(&entry.key, with_verdict).await?;
        written.ok_or(ApiError::NotFound("delivery"))
    }

    async fn run_push(&self, delivery: &Delivery, push: &Push, repo: &Repo) -> Result<Decided, ApiError> {
        let (Some(after), Some(job)) = (&push.after, delivery.jobs.first().copied()) else {
            self.remove_ref(push, repo).await?;
            return Ok(Decided::because(Verdict::Ignored, "the ref was removed"));
        };
        if delivery.replay_of.is_none()
            && let Some(earlier) = self.seen_before(push, after, repo, job).await?
        {
            let reason = Some(format!("duplicate of {earlier}"));
            return Ok(Decided { verdict: Verdict::Duplicate, reason, jobs: vec![earlier] });
        }
        let new = new_job(delivery, push, repo, job);
        match self.ledger.jobs.create(&job.to_string(), &Job::new(new.clone())).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        if delivery.reason.as_deref() == Some(QUEUE_FULL) {
            self.move_head(push, repo, None).await?;
            if let Some(entry) = self.ledger.end(job, &Outcome::wished(Cause::Refused, QUEUE_FULL)).await? {
                self.note(&entry);
            }
            return Ok(Decided { jobs: vec![job], ..Decided::because(Verdict::Refused, QUEUE_FULL) });
        }
        self.move_head(push, repo, Some(job)).await?;
        self.note_forge_id(push, repo).await?;
        let entry = self.ledger.submit(new).await?;
        self.note(&entry);
        Ok(Decided { verdict: Verdict::Accepted, reason: None, jobs: vec![job] })
    }

    /// Notes the forge's own number of a repository, by which it is known once it was renamed.
    async fn note_forge_id(&self, push: &Push, repo: &Repo) -> Result<(), ApiError> {
        let url = repo.url.parse::<CloneUrl>();
        let same_url = url.is_ok_and(|url| url.same_repository(&push.repository.clone_url));
        if repo.forge_id.is_some() || push.repository.forge_id.is_none() || !same_url {
            return Ok(());
        }
        let noted = |now: &Entry<Repo>| {
            now.value
                .forge_id
                .is_none()
                .then(|| Repo { forge_id: push.repository.forge_id, ..now.value.clone() })
        };
        self.ledger.repos.change(&repo.id.to_string(), noted).await?;
        Ok(())
    }
}

fn new_job(delivery: &Delivery, push: &Push, repo: &Repo, id: JobId) -> NewJob {
    let trigger = trigger(&push.reference);
    let context = match trigger {
        Trigger::Tag => "gitfaas/tag",
        Trigger::Push | Trigger::Call | Trigger::PullRequest | Trigger::Rerun => "gitfaas/push",
    };
    let rerun_of = delivery.other.get("rerun_of").and_then(|id| id.as_str()?.parse().ok());
    NewJob {
        id,
        trigger,
        label: repo.label.clone(),
        repo: Some(repo.id),
        reference: Some(push.reference.to_string()),
        sha: push.after.clone(),
        before: push.before.clone(),
        name: repo.name.clone(),
        context: repo.posts.then(|| context.to_owned()),
        rerun_of,
        ..NewJob::call(repo.owner, repo.url.clone())
    }
}

fn trigger(reference: &GitRef) -> Trigger {
    if reference.tag().is_some() { Trigger::Tag } else { Trigger::Push }
}

enum Entered {
    Now(Entry<Delivery>),
    Before(Entry<Delivery>),
    AnotherContent,
}

struct Decided {
    verdict: Verdict,
    reason: Option<String>,
    jobs: Vec<JobId>,
}

impl Decided {
    fn because(verdict: Verdict, reason: &str) -> Self {
        Self { verdict, reason: Some(reason.to_owned()), jobs: Vec::new() }
    }
}

fn taken(entry: &Entry<Delivery>) -> Taken {
    Taken {
        key: entry.key.clone(),
        verdict: entry.value.verdict.unwrap_or(Verdict::Accepted),
        reason: entry.value.reason.clone(),
        jobs: entry.value.jobs.clone(),
        malformed: false,
    }
}
