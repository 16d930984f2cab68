//! The branch and path filters of registration and manifest: whether a push concerns its function.

use jobs::{Filter, Trigger, git_ref::merge_queue_target, manifest::Manifest};

use crate::{
    attempt_context::AttemptContext,
    checkout::{Mirrors, Request},
    execution_request::{ExecutionRequest, JobSource},
    source::{CommitFiles, Files, changed_paths},
};

/// Why the filters of registration and manifest skip a job, if they do. Calls are not filtered.
///
/// Two trees are compared, so a pull request is compared with what its target was then: where the
/// target moved on, its changes count too, and the filter rather says yes.
pub(crate) async fn skip_reason(
    mirrors: &Mirrors,
    request: &ExecutionRequest,
    manifest: &Manifest,
    files: &Files,
    context: &impl AttemptContext,
) -> Option<String> {
    let JobSource::Commit { url, reference, before, .. } = &request.source else { return None };
    match request.trigger {
        Trigger::Call | Trigger::Rerun | Trigger::Tag => return None,
        Trigger::Push | Trigger::PullRequest => {}
    }
    if let Some(branch) = reference.as_deref().and_then(|reference| reference.strip_prefix("refs/heads/"))
        // What waits in a merge queue is judged by the branch that it wants to get into.
        && let branch = merge_queue_target(branch).unwrap_or(branch)
        && !manifest.branches.lets_through(branch)
    {
        return Some(format!("branch {branch} is not listed"));
    }
    if manifest.paths.is_empty() && request.paths.is_empty() {
        return None;
    }
    let (Some(before), Files::Commit(new)) = (before, files) else { return None };
    let credential = context.credential().await.ok().flatten();
    let (sha, cache_scope) = (Some(before.clone()), request.cache_scope.clone());
    let checkout_request = Request { url: url.clone(), sha, reference: None, credential, cache_scope };
    // Where the base commit cannot be had, a path filter says yes.
    let old = mirrors.base(checkout_request).await?;
    let (filters, new) = ([manifest.paths.clone(), request.paths.clone()], new.clone());
    let matched = tokio::task::spawn_blocking(move || lets_through(&filters, &old, &new));
    (!matched.await.unwrap_or(true)).then(|| "no matching path".to_owned())
}

/// Whether a path that differs passes all the filters. What cannot be compared does.
fn lets_through(filters: &[Filter], old: &CommitFiles, new: &CommitFiles) -> bool {
    let mut matched = false;
    let compared = changed_paths(old, new, &mut |path| {
        matched |= filters.iter().all(|filter| filter.lets_through(path));
        matched
    });
    matched || compared.is_err()
}

#[cfg(test)]
mod tests;
