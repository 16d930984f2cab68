//! A check was requested again: the newest job of that commit is repeated.
//!
//! GitHub notifies the App that created the check, and only checks of the configured App count. `commits` says which
//! job a check stands for now: the check that was clicked may show an older one.

use hooks::incoming::Rerequested;
use jobs::{
    CommitSha, Delivery, DeliveryReason, Job, JobId, Repo, StoredJson, Verdict, bucket::Entry,
    streams::commit_key,
};

use crate::{
    deliveries::{Deliveries, create_job::Resolution},
    error::ApiError,
};

/// Every context that our checks have.
const CONTEXTS: [&str; 3] = ["gitfaas/push", "gitfaas/tag", "gitfaas/pull-request"];

impl Deliveries {
    /// Plans which jobs are to be repeated.
    pub(super) async fn plan_reruns(
        &self,
        delivery: &mut Delivery,
        rerequested: &Rerequested,
        repo: &Repo,
    ) -> Result<(), ApiError> {
        let mut originals = Vec::new();
        for context in self.contexts(rerequested, repo).await? {
            let key = commit_key(repo.id, &rerequested.sha, &context);
            if let Some(commit) = self.ledger.commits.get(&key).await?
                && self.find_job_of_commit(commit.value.job(), repo, &rerequested.sha).await?.is_some()
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

    /// The contexts that were requested again: one check, or all of a suite.
    async fn contexts(&self, rerequested: &Rerequested, repo: &Repo) -> Result<Vec<String>, ApiError> {
        if let Some(external_id) = &rerequested.external_id {
            let Ok(job) = external_id.parse::<JobId>() else { return Ok(Vec::new()) };
            let found = self.find_job_of_commit(job, repo, &rerequested.sha).await?;
            return Ok(found.and_then(|entry| entry.value.spec.context).into_iter().collect());
        }
        let meant =
            |context: &&str| rerequested.check_run.is_none() || rerequested.name.as_deref() == Some(*context);
        Ok(CONTEXTS.iter().filter(|context| meant(context)).map(|context| (*context).to_owned()).collect())
    }

    /// A job, if it is of this commit. Workers write the commit entries that name it, so it is checked against its
    /// signed record.
    async fn find_job_of_commit(
        &self,
        job: JobId,
        repo: &Repo,
        sha: &CommitSha,
    ) -> Result<Option<Entry<Job>>, ApiError> {
        let found = self.job_records.record(job).await?;
        Ok(found.filter(|entry| {
            entry.value.spec.repo == Some(repo.id) && entry.value.spec.sha.as_ref() == Some(sha)
        }))
    }

    pub(super) async fn run_reruns(&self, delivery: &Delivery) -> Result<Resolution, ApiError> {
        let originals = delivery.plan.reruns.as_ref().and_then(StoredJson::get).unwrap_or_default();
        let mut all = Resolution::new(Verdict::Ignored, DeliveryReason::NoJobOfCommit);
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
                // Its signature is not valid.
                Err(ApiError::NotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            let resolution = self.create_job(delivery, new, None).await?;
            all.jobs.extend(resolution.jobs);
            (all.verdict, all.reason) = (resolution.verdict, resolution.reason);
        }
        Ok(all)
    }
}
