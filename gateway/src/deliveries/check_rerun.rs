//! "Re-run" beside a check: the newest job of that commit once more.
//!
//! GitHub tells the App that made the check, and only our own App's checks are ours. Which job a check
//! stands for now, `commits` tells: the check that was clicked may show an older one.

use hooks::incoming::Rerequested;
use jobs::{
    CommitSha, Delivery, DeliveryReason, Job, JobId, Repo, StoredJson, Verdict, bucket::Entry,
    streams::commit_key,
};

use crate::{
    deliveries::{Deliveries, create_job::Decided},
    error::ApiError,
};

/// Every context that a check of ours has.
const CONTEXTS: [&str; 3] = ["gitfaas/push", "gitfaas/tag", "gitfaas/pull-request"];

impl Deliveries {
    /// Writes into a new entry which jobs are to be repeated.
    pub(super) async fn plan_reruns(
        &self,
        delivery: &mut Delivery,
        asked: &Rerequested,
        repo: &Repo,
    ) -> Result<(), ApiError> {
        let mut originals = Vec::new();
        for context in self.contexts(asked, repo).await? {
            let key = commit_key(repo.id, &asked.sha, &context);
            if let Some(commit) = self.ledger.commits.get(&key).await?
                && self.job_of_commit(commit.value.job(), repo, &asked.sha).await?.is_some()
            {
                originals.push(commit.value.job());
            }
        }
        if originals.is_empty() {
            delivery.verdict = Some(Verdict::Ignored);
            delivery.reason = Some(DeliveryReason::NoJobOfCommit);
            return Ok(());
        }
        delivery.jobs = originals.iter().map(|_| JobId::new()).collect();
        delivery.plan.reruns = Some((&originals).into());
        Ok(())
    }

    /// Which of the commit's checks are meant: one, or all of a suite.
    async fn contexts(&self, asked: &Rerequested, repo: &Repo) -> Result<Vec<String>, ApiError> {
        if let Some(external_id) = &asked.external_id {
            let Ok(job) = external_id.parse::<JobId>() else { return Ok(Vec::new()) };
            let found = self.job_of_commit(job, repo, &asked.sha).await?;
            return Ok(found.and_then(|entry| entry.value.context).into_iter().collect());
        }
        let meant = |context: &&str| asked.check_run.is_none() || asked.name.as_deref() == Some(*context);
        Ok(CONTEXTS.iter().filter(|context| meant(context)).map(|context| (*context).to_owned()).collect())
    }

    /// A job, where it is of this commit. Workers write the entries of commits that name it, so that is held
    /// against what was signed.
    async fn job_of_commit(
        &self,
        job: JobId,
        repo: &Repo,
        sha: &CommitSha,
    ) -> Result<Option<Entry<Job>>, ApiError> {
        let found = self.job_records.record(job).await?;
        Ok(found.filter(|entry| entry.value.repo == Some(repo.id) && entry.value.sha.as_ref() == Some(sha)))
    }

    pub(super) async fn run_reruns(&self, delivery: &Delivery) -> Result<Decided, ApiError> {
        let originals = delivery.plan.reruns.as_ref().and_then(StoredJson::get).unwrap_or_default();
        let mut all = Decided::because(Verdict::Ignored, DeliveryReason::NoJobOfCommit);
        for (id, original) in delivery.jobs.iter().zip(originals) {
            let Some(of) = self.ledger.job(original).await? else { continue };
            if let Err(ApiError::Forbidden(why)) = self.jobs.recheck_label(&of.value).await {
                all.reason = Some(why.into());
                continue;
            }
            let new = match self.job_records.rerun(&of, *id).await {
                Ok(new) => new,
                Err(ApiError::Conflict(why)) => {
                    all.reason = Some(why.into());
                    continue;
                }
                // It is not believed.
                Err(ApiError::NotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            let made = self.make(delivery, new, None).await?;
            all.jobs.extend(made.jobs);
            (all.verdict, all.reason) = (made.verdict, made.reason);
        }
        Ok(all)
    }
}
