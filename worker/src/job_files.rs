//! The files that a job is about: of a commit, which is in its mirror or is fetched, or of a directory.

use jobs::Outcome;

use crate::{
    attempt_context::AttemptContext,
    checkout::{CredentialUse, Mirrors, Request},
    execution_report::ExecutionReport,
    execution_request::{ExecutionRequest, JobSource},
    source::Files,
};

/// Brings the files of `request`; the report says of which commit they are.
///
/// # Errors
/// They cannot be had; the outcome tells whose fault it is.
pub(crate) async fn job_files(
    mirrors: &Mirrors,
    request: &ExecutionRequest,
    context: &impl AttemptContext,
    report: &mut ExecutionReport,
) -> Result<Files, Outcome> {
    let (url, sha, reference) = match &request.source {
        JobSource::Directory(files) => return Ok(Files::Directory(files.clone())),
        JobSource::Commit { url, sha, reference, .. } => (url.clone(), sha.clone(), reference.clone()),
    };
    let cache_scope = request.cache_scope.clone();
    let mut wanted = Request { url, sha, reference, credential: None, cache_scope };
    // What a function runs was brought by the push that built it. The gateway is asked all the same, meanwhile: its
    // grant is the proof that it made this job, and who may write records must not have others' commits run.
    let found = async {
        match request.is_function_call {
            true => mirrors.find(&wanted).await,
            false => None,
        }
    };
    let (found, credential) = tokio::join!(found, context.credential());
    let credential = credential?;
    let checkout = match found {
        Some(found) => found,
        None => {
            wanted.credential = credential;
            let shown = wanted.credential.as_ref().map_or(CredentialUse::None, |_| CredentialUse::Sent);
            mirrors.checkout(wanted).await.map_err(|error| error.outcome_with(shown))?
        }
    };
    report.sha = Some(checkout.sha);
    Ok(Files::Commit(checkout.files))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use jobs::{CommitSha, Filter, JobId, Trigger};
    use test_case::test_case;

    use super::*;
    use crate::{
        checkout::{Credential, test_mirror::Filled},
        execution_request::Origin,
        output::LogSink,
        result_reuse::ReusableResult,
        sandbox::JobTag,
    };

    /// Notes whether it was asked for a credential, and has none, or is refused one.
    #[derive(Default)]
    struct Asked {
        is_asked: AtomicBool,
        is_refused: bool,
    }

    impl AttemptContext for Asked {
        fn log(&self) -> Arc<dyn LogSink> {
            unreachable!("a checkout writes no log")
        }

        async fn credential(&self) -> Result<Option<Credential>, Outcome> {
            self.is_asked.store(true, Ordering::Relaxed);
            match self.is_refused {
                true => Err(Outcome::wished(jobs::Cause::Refused, "refused")),
                false => Ok(None),
            }
        }

        async fn secrets(&self, _: &[String]) -> Result<Vec<(String, String)>, Outcome> {
            unreachable!("a checkout needs no secret")
        }

        async fn learned(&self, _: Option<&CommitSha>, _: &str) {}

        async fn superseded(&self, _: Option<bool>) -> Option<Outcome> {
            None
        }

        async fn reusable_result(&self) -> ReusableResult {
            ReusableResult::None
        }
    }

    /// Whether the job has its files. A credential is asked for in any case.
    async fn read(is_function_call: bool, sha: Option<&str>, is_refused: bool) -> bool {
        let filled = Filled::new();
        let sha = sha.map_or(filled.request.sha.clone(), |sha| sha.parse().ok());
        let request = ExecutionRequest {
            tag: JobTag { job: JobId::new(), attempt: 1 },
            source: JobSource::Commit {
                url: filled.request.url.clone(),
                sha: sha.clone(),
                reference: None,
                before: None,
            },
            args: None,
            trigger: Trigger::Call,
            origin: Origin::Caller,
            is_function_call,
            paths: Filter::default(),
            cache_scope: filled.request.cache_scope.clone(),
        };
        let (context, mut report) = (Asked { is_refused, ..Asked::default() }, ExecutionReport::new());
        let files = job_files(&filled.mirrors, &request, &context, &mut report).await;
        assert_eq!(report.sha, files.as_ref().ok().and(sha));
        assert!(context.is_asked.into_inner());
        files.is_ok()
    }

    const NOT_THERE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test_case(true, None, false => true ; "the call of a function, whose commit is there")]
    #[test_case(true, None, true => false ; "one that no gateway made")]
    #[test_case(true, Some(NOT_THERE), false => false ; "one whose commit must be fetched")]
    #[test_case(false, None, false => true ; "another job, whose commit is there")]
    #[tokio::test]
    async fn files_of(is_function_call: bool, sha: Option<&str>, is_refused: bool) -> bool {
        read(is_function_call, sha, is_refused).await
    }
}
