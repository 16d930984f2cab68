//! The variables that programs are told things by: of their manifest, and of the job.

use jobs::{CommitSha, manifest::Manifest};

use crate::execution_request::{ExecutionRequest, JobSource};

/// The manifest's fields that the images' scripts read.
pub(crate) fn of_manifest(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    let field = |name: &str, value: &Option<String>| value.clone().map(|value| (name.to_owned(), value));
    [
        field("GITFAAS_MAIN_FILE", &manifest.main_file),
        field("GITFAAS_REQUIREMENTS_FILE", &manifest.requirements_file),
    ]
    .into_iter()
    .flatten()
}

/// What a function is told of itself.
pub(crate) fn of_job(
    request: &ExecutionRequest,
    manifest: &Manifest,
    sha: Option<&CommitSha>,
) -> Vec<(String, String)> {
    let own = |name: &str, value: String| (name.to_owned(), value);
    let mut variables: Vec<_> = of_manifest(manifest).collect();
    variables.push(own("GITFAAS_JOB_ID", request.tag.job.to_string()));
    variables.push(own("GITFAAS_ATTEMPT", request.tag.attempt.to_string()));
    if let Some(sha) = sha {
        variables.push(own("GITFAAS_SHA", sha.to_string()));
    }
    if let JobSource::Commit { reference: Some(reference), .. } = &request.source {
        variables.push(own("GITFAAS_REF", reference.clone()));
    }
    variables
}
