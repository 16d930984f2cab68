//! Renders a record for a forge: a status's description, or a check run with its table.

use std::time::Duration;

use hooks::{
    checks::{CheckRun, Conclusion, Progress},
    status::{MAX_DESCRIPTION_CHARS, StatusPost, Target},
};
use jobs::{
    Cause, CommitState, CommitStatus, Fault, Job, State,
    bucket::Entry,
    grants::{DeliveryGrant, StatusGrant},
    units,
};

use super::{
    log::LogView,
    text::{fenced, plain},
};

/// The status of a job.
pub(super) fn job_status(
    commit: &CommitStatus,
    job: &Job,
    grant: StatusGrant,
) -> Result<(Target, StatusPost), String> {
    let (target, post) = status(commit, job.commit_state(), description(job), grant)?;
    Ok((target, StatusPost { running: job.status.state == State::Working, ..post }))
}

/// The status of a commit that waits for an approval, or did.
pub(super) fn delivery_status(
    commit: &CommitStatus,
    grant: DeliveryGrant,
) -> Result<(Target, StatusPost), String> {
    let state = if grant.waits { CommitState::Pending } else { CommitState::Error };
    status(commit, state, grant.description, grant.status)
}

/// The check run of such a commit: an action is required, or none is possible any more.
pub(super) fn delivery_check_run(post: &StatusPost, delivery: &str) -> CheckRun {
    let conclusion = match post.state {
        CommitState::Pending => Conclusion::ActionRequired,
        CommitState::Success | CommitState::Failure | CommitState::Error => Conclusion::Cancelled,
    };
    CheckRun {
        owner: post.owner.clone(),
        name: post.name.clone(),
        sha: post.sha.clone(),
        context: post.context.clone(),
        external_id: delivery.to_owned(),
        details_url: post.target_url.clone(),
        progress: Progress::Completed(conclusion),
        title: post.description.clone(),
        summary: "A pull request from a fork runs once an owner of the repository has approved its commit.\n"
            .to_owned(),
        text: None,
        annotations: Vec::new(),
    }
}

/// Parses a grant; the error says what is wrong with it without its values.
fn status(
    commit: &CommitStatus,
    state: CommitState,
    description: String,
    grant: StatusGrant,
) -> Result<(Target, StatusPost), String> {
    let wrong = |what: &str| format!("the grant's {what} cannot be read");
    let target = Target {
        forge: grant.forge.get().copied().ok_or_else(|| wrong("forge"))?,
        api: grant.api_url.parse().map_err(|_| wrong("address"))?,
        token: grant.token.parse().map_err(|_| wrong("token"))?,
    };
    let post = StatusPost {
        owner: grant.owner,
        name: grant.name,
        sha: commit.sha().clone(),
        context: commit.context().to_owned(),
        state,
        running: false,
        description,
        target_url: Some(grant.target_url),
    };
    Ok((target, post))
}

/// The check run that takes this status's place.
pub(super) fn job_check_run(post: &StatusPost, job: &Entry<Job>, log: Option<&LogView>) -> CheckRun {
    CheckRun {
        owner: post.owner.clone(),
        name: post.name.clone(),
        sha: post.sha.clone(),
        context: post.context.clone(),
        external_id: job.value.spec.id.to_string(),
        details_url: post.target_url.clone(),
        progress: progress(&job.value),
        title: post.description.clone(),
        summary: summary(&job.value),
        text: log.and_then(|log| log.text.clone()),
        annotations: log.map(|log| log.annotations.clone()).unwrap_or_default(),
    }
}

/// The description of a status.
pub(super) fn description(job: &Job) -> String {
    let message = job.status.message.as_deref().unwrap_or_default();
    match (job.status.state, job.status.cause) {
        (State::Pending, _) if job.status.failures > 0 => format!("trying again: {message}"),
        (State::Pending, _) => "queued".to_owned(),
        (State::Working, _) => "running".to_owned(),
        (State::Finish, Some(Cause::Skipped)) => format!("skipped: {message}"),
        (State::Finish, _) if job.status.built => {
            let timings = &job.status.timings_ms;
            let ms = timings.checkout.unwrap_or_default() + timings.prepare.unwrap_or_default();
            format!("built in {}", units::show_duration(Duration::from_millis(ms)))
        }
        (State::Finish, _) => match job.status.timings_ms.run {
            Some(ms) => format!("finished in {}", units::show_duration(Duration::from_millis(ms))),
            None => "finished".to_owned(),
        },
        (State::Error, _) => message.to_owned(),
    }
}

fn progress(job: &Job) -> Progress {
    match job.status.state {
        State::Pending => Progress::Queued,
        State::Working => Progress::InProgress,
        State::Finish | State::Error => Progress::Completed(conclusion(job.status.cause, job.status.fault)),
    }
}

/// A failure that is not the commit's must neither turn it red nor let a required check pass; of
/// GitHub's words only "cancelled" does that.
fn conclusion(cause: Option<Cause>, fault: Option<Fault>) -> Conclusion {
    match cause {
        None => Conclusion::Success,
        Some(Cause::Skipped) => Conclusion::Skipped,
        Some(Cause::Timeout) => Conclusion::TimedOut,
        Some(
            Cause::Exit | Cause::Memory | Cause::Disk | Cause::Processes | Cause::Output | Cause::Manifest,
        ) => Conclusion::Failure,
        Some(Cause::Checkout | Cause::Prepare) => match fault {
            Some(Fault::Function) => Conclusion::Failure,
            Some(Fault::Service | Fault::Nobody) | None => Conclusion::Cancelled,
        },
        Some(Cause::Cancelled | Cause::Superseded | Cause::Refused | Cause::Lost) => Conclusion::Cancelled,
    }
}

/// A table of what is known, after the whole message where the title has only its beginning.
fn summary(job: &Job) -> String {
    let mut summary = String::new();
    let message = job.status.message.as_deref().unwrap_or_default();
    if message.chars().count() > MAX_DESCRIPTION_CHARS || message.contains('\n') {
        summary.push_str(&fenced(&plain(message)));
        summary.push('\n');
    }
    if job.status.fault == Some(Fault::Service) && job.status.state.is_final() {
        summary.push_str("This is not the commit's fault.\n\n");
    }
    let ms = |ms: u64| units::show_duration(Duration::from_millis(ms));
    let timings = &job.status.timings_ms;
    let rows = [
        ("Queued", timings.queued.map(ms)),
        ("Checkout", timings.checkout.map(ms)),
        ("Prepare", timings.prepare.map(ms)),
        ("Environment", job.status.prepared.map(|reused| if reused { "reused" } else { "made" }.to_owned())),
        ("Run", timings.run.map(ms)),
        (
            "Peak memory",
            job.status.peak_memory_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0)),
        ),
        ("Exit code", job.status.exit_code.map(|code| code.to_string())),
        ("Attempt", (job.status.attempt > 0).then(|| job.status.attempt.to_string())),
    ];
    let known: Vec<_> = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    if known.is_empty() {
        summary.push_str("Waiting for a worker.\n");
        return summary;
    }
    summary.push_str("| | |\n|---|---|\n");
    for (name, value) in known {
        summary.push_str(&format!("| {name} | {value} |\n"));
    }
    summary
}

#[cfg(test)]
mod tests {
    use jobs::{JobSpec, JobStatus, Timings, UserId};
    use test_case::test_case;

    use super::*;

    fn job() -> Job {
        Job::new(JobSpec::call(UserId::new(), "https://example.com/r"))
    }

    fn with(change: impl FnOnce(&mut JobStatus)) -> Job {
        let mut job = job();
        change(&mut job.status);
        job
    }

    #[test]
    fn the_description_says_what_happened() {
        assert_eq!(description(&job()), "queued");
        let finished = with(|status| {
            status.state = State::Finish;
            status.timings_ms.run = Some(1312);
        });
        assert_eq!(description(&finished), "finished in 1.3 s");
        let built = with(|status| {
            status.state = State::Finish;
            status.built = true;
            status.timings_ms = Timings { checkout: Some(200), prepare: Some(3000), ..Timings::default() };
        });
        assert_eq!(description(&built), "built in 3.2 s");
        assert_eq!(progress(&built), Progress::Completed(Conclusion::Success));
        let failed = with(|status| {
            status.state = State::Error;
            status.message = Some("exit code 3".to_owned());
        });
        assert_eq!(description(&failed), "exit code 3");
    }

    #[test_case(State::Pending, None, None => Progress::Queued)]
    #[test_case(State::Working, None, None => Progress::InProgress)]
    #[test_case(State::Finish, None, None => Progress::Completed(Conclusion::Success))]
    #[test_case(State::Finish, Some(Cause::Skipped), None => Progress::Completed(Conclusion::Skipped))]
    #[test_case(State::Error, Some(Cause::Exit), Some(Fault::Function) => Progress::Completed(Conclusion::Failure))]
    #[test_case(State::Error, Some(Cause::Timeout), Some(Fault::Function) => Progress::Completed(Conclusion::TimedOut))]
    #[test_case(State::Error, Some(Cause::Prepare), Some(Fault::Function) => Progress::Completed(Conclusion::Failure))]
    #[test_case(State::Error, Some(Cause::Prepare), Some(Fault::Service) => Progress::Completed(Conclusion::Cancelled))]
    #[test_case(State::Error, Some(Cause::Lost), Some(Fault::Service) => Progress::Completed(Conclusion::Cancelled))]
    #[test_case(State::Error, Some(Cause::Superseded), Some(Fault::Nobody) => Progress::Completed(Conclusion::Cancelled))]
    fn how_a_run_stands(state: State, cause: Option<Cause>, fault: Option<Fault>) -> Progress {
        progress(&with(|status| (status.state, status.cause, status.fault) = (state, cause, fault)))
    }

    #[test]
    fn the_summary_is_a_table_of_what_is_known() {
        insta::assert_snapshot!(summary(&job()), @"Waiting for a worker.");
        let ended = with(|status| {
            status.state = State::Error;
            status.fault = Some(Fault::Service);
            status.message = Some("manifest: `a` | b\nand c".to_owned());
            status.timings_ms = Timings { queued: Some(12), run: Some(1312), ..Timings::default() };
            status.prepared = Some(true);
            status.peak_memory_bytes = Some(23_592_960);
            status.exit_code = Some(3);
            status.attempt = 2;
        });
        insta::assert_snapshot!(summary(&ended), @r"
        ```text
        manifest: `a` | b
        and c
        ```

        This is not the commit's fault.

        | | |
        |---|---|
        | Queued | 12 ms |
        | Environment | reused |
        | Run | 1.3 s |
        | Peak memory | 22.5 MiB |
        | Exit code | 3 |
        | Attempt | 2 |
        ");
    }
}
