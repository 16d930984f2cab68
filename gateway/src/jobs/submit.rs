//! Submits a job from a call: validates the request, then writes it to the ledger.

use hooks::CloneUrl;
use jobs::{
    CommitSha, FunctionName, Input, Job, JobId, JobSpec, Label, RefName, Repo, RepoId, UserId,
    accounts::Scope, api::SubmitJob, bucket::Entry, usage::Resource,
};

use crate::{
    auth::identity::Identity,
    error::ApiError,
    jobs::{
        Jobs,
        labels::{CommitTrust, check_call_label},
    },
};

/// All arguments of a call together, in bytes: a record stays under 32 KiB with all it may hold.
const MAX_ARGS_BYTES: usize = 12 * 1024;
/// The longest name of a job, in bytes; it is shown in lists.
const MAX_NAME_BYTES: usize = 200;

impl Jobs {
    /// Submits a call; a repeated one with the same idempotency key is the same job.
    pub(crate) async fn call(
        &self,
        caller: &Identity,
        call: &SubmitJob,
        idempotency_key: Option<&str>,
    ) -> Result<Entry<Job>, ApiError> {
        caller.require_scope(Scope::JobsWrite)?;
        let input = self.input_of(call)?;
        let mut new = self.validate(caller, call).await?;
        new.input = input.as_ref().map(Input::describe);
        let mut key_entered = None;
        if let Some(key) = idempotency_key {
            let entered = self.idempotent(caller, key, call, new.id).await?;
            new.id = entered.job;
            if entered.revision.is_none() && self.ledger.job(new.id).await?.is_some() {
                // Completes what an earlier attempt may have left between record and queue.
                let entry = self.ledger.submit(new).await?;
                return self.job_records.verified(entry).ok_or(ApiError::NotFound("job"));
            }
            key_entered = entered.revision.map(|revision| (entered.at, revision));
        }
        if let Err(error) = self.check_new(&new).await {
            // The key of a refused request is deleted: the same request is validated again.
            if let Some((at, revision)) = key_entered {
                let _ = self.ledger.idempotency.delete(&at, revision).await;
            }
            return Err(error);
        }
        if let Some(input) = &input {
            self.ledger.inputs.store(new.owner, new.id, input).await?;
        }
        let entry = self.ledger.submit(new).await?;
        self.job_records.note(&entry).await;
        Ok(entry)
    }

    /// Refuses a label that no worker serves and jobs over the owner's budget; else reserves a place in the queue.
    async fn check_new(&self, new: &JobSpec) -> Result<(), ApiError> {
        self.check_label(&new.label).await?;
        self.check_queue(new).await
    }

    async fn validate(&self, caller: &Identity, call: &SubmitJob) -> Result<JobSpec, ApiError> {
        let repo = self.named_repo(caller, &call.repo).await?;
        let url = match &repo {
            Some(repo) => repo.url.clone(),
            None => clone_url(&call.repo)?.into(),
        };
        let reference = call.reference.as_deref().map(reference).transpose()?;
        let label = match (&call.label, &repo) {
            (Some(label), _) => {
                label.parse().map_err(|error| ApiError::BadRequest(format!("label: {error}")))?
            }
            (None, Some(repo)) => repo.label.clone(),
            (None, None) => Label::default(),
        };
        if call.args.iter().flatten().map(String::len).sum::<usize>() > MAX_ARGS_BYTES {
            return Err(ApiError::BadRequest(format!("args: more than {MAX_ARGS_BYTES} bytes together")));
        }
        if call.args.iter().flatten().any(|arg| arg.contains('\0')) {
            return Err(ApiError::BadRequest("args: an argument cannot hold a NUL".to_owned()));
        }
        let name = call.name.clone().filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
            return Err(ApiError::BadRequest(format!("name: longer than {MAX_NAME_BYTES} bytes")));
        }
        let untrusted = reference.as_ref().is_some_and(|name| {
            let text = name.as_str();
            // A forge serves a fork's commit by its id too, and a viewer may not push here.
            let is_only_viewer = repo.as_ref().is_some_and(|repo| !caller.owns(repo));
            is_untrusted_ref(text) || (is_only_viewer && text.parse::<CommitSha>().is_ok())
        });
        let commit = if untrusted { CommitTrust::Untrusted } else { CommitTrust::Trusted };
        check_call_label(caller, &label, repo.as_ref(), commit)?;
        Ok(JobSpec {
            label,
            repo: repo.as_ref().map(|repo| repo.id),
            untrusted,
            sha: reference.as_ref().and_then(|name| name.as_str().parse::<CommitSha>().ok()),
            reference: reference.map(Into::into),
            name,
            args: call.args.clone(),
            ..JobSpec::call(caller.user.id, url)
        })
    }

    /// The registered repository, when the call names one by its id or function, neither of which is a URL.
    async fn named_repo(&self, caller: &Identity, repo: &str) -> Result<Option<Repo>, ApiError> {
        if repo.parse::<RepoId>().is_err() && repo.parse::<FunctionName>().is_err() {
            return Ok(None);
        }
        Ok(Some(self.access.visible_repo(caller, repo).await?.value))
    }

    /// Refuses jobs over the owner's budget.
    pub(super) async fn check_queue(&self, new: &JobSpec) -> Result<(), ApiError> {
        self.capacity.check_capacity()?;
        self.budgets.reserve_job(new).await
    }

    /// Reserves places in the owner's queue for all of these jobs, or for none of them; returns which.
    pub(crate) async fn reserve_all(&self, owner: UserId, jobs: &[JobId]) -> Result<bool, ApiError> {
        for (count, job) in jobs.iter().enumerate() {
            if self.budgets.try_reserve(owner, job, Resource::Queued, 1).await?.is_err() {
                jobs[..count].iter().for_each(|job| self.budgets.release(owner, job));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A job with a label that no worker serves would wait until `GITFAAS_MAX_QUEUE_TIME` and then fail.
    async fn check_label(&self, label: &Label) -> Result<(), ApiError> {
        if *label == Label::default() {
            return Ok(());
        }
        for worker in self.ledger.workers.keys().await? {
            if let Some(presence) = self.ledger.workers.get(&worker).await?
                && presence.value.labels.contains(label)
            {
                return Ok(());
            }
        }
        Err(ApiError::BadRequest(format!("label: no worker serves {label} at the moment")))
    }
}

/// Whether a ref is neither a branch nor a tag: forges keep the commits of pull and merge requests, those of
/// forks among them, under other names.
fn is_untrusted_ref(reference: &str) -> bool {
    let own = ["refs/heads/", "refs/tags/"].iter().any(|prefix| reference.starts_with(prefix));
    reference.starts_with("refs/") && !own
}

/// A URL that can be cloned from; one without scheme means https.
pub(crate) fn clone_url(text: &str) -> Result<CloneUrl, ApiError> {
    text.trim().parse().map_err(|error| ApiError::BadRequest(format!("{error}")))
}

fn reference(text: &str) -> Result<RefName, ApiError> {
    text.parse().map_err(|error| ApiError::BadRequest(format!("ref: {error}")))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("main" => false)]
    #[test_case("refs/heads/main" => false)]
    #[test_case("refs/tags/v1" => false)]
    #[test_case("refs/pull/7/head" => true)]
    #[test_case("refs/merge-requests/7/head" => true)]
    #[test_case("refs/changes/01/1/1" => true)]
    fn untrusted_refs(reference: &str) -> bool {
        is_untrusted_ref(reference)
    }
}
