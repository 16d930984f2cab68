//! What a registration says about an event, before there is a job.
//!
//! Branches, tags, events and `[skip ci]` are decided here; what the manifest says, only a worker
//! knows. Nothing here does I/O.

use hooks::{
    Incoming, Push,
    incoming::{PullRequest, PullRequestAction, Rerequested},
};
use jobs::{DeliveryReason, Forks, Repo, RepoEvent, SkipCi, Trigger};

use crate::deliveries::{push::queue_target, routing::named};

/// What a delivery means for a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing to do, and why. A push that is filtered still moves its ref.
    Ignored(DeliveryReason),
    /// Not ours, and why.
    Refused(DeliveryReason),
    /// A ref was removed, or a pull request closed.
    Removed,
    /// No job before an owner approves.
    Hold,
    /// The newest jobs of a commit once more.
    Rerun,
    /// The App was installed, changed or removed; see [`crate::repos::installation`].
    Installation,
    /// One job.
    Run(Trigger),
}

/// What the registration says about an event. `app` is the configured GitHub App.
pub(crate) fn judge(repo: Option<&Repo>, incoming: &Incoming, app: Option<u64>) -> Judgement {
    if let (Some(repository), Some(repo)) = (named(incoming), repo)
        && !is_of(repo, repository)
    {
        return Judgement::Refused(DeliveryReason::OtherRepository);
    }
    let unknown = || Judgement::Ignored(DeliveryReason::RepositoryNotRegistered);
    match incoming {
        Incoming::Ping => Judgement::Ignored(DeliveryReason::Ping),
        Incoming::Ignored(why) => Judgement::Ignored(why.as_str().into()),
        Incoming::Push(push) => repo.map_or_else(unknown, |repo| of_push(repo, push)),
        Incoming::PullRequest(pull) => repo.map_or_else(unknown, |repo| of_pull(repo, pull)),
        Incoming::Rerequested(asked) => repo.map_or_else(unknown, |_| of_rerequest(asked, app)),
        Incoming::Installation(_) | Incoming::InstallationRepositories(_) => match repo {
            Some(_) => Judgement::Ignored(DeliveryReason::InstallationAtRepositoryHook),
            None => Judgement::Installation,
        },
    }
}

fn of_push(repo: &Repo, push: &Push) -> Judgement {
    if push.is_deletion() {
        return Judgement::Removed;
    }
    if let Some(target) = queue_target(repo, push) {
        let makes_jobs = [RepoEvent::Push, RepoEvent::PullRequest].iter().any(|of| repo.events.contains(of));
        return match (makes_jobs, repo.branches.lets_through(target)) {
            (false, _) => Judgement::Ignored(DeliveryReason::MergeQueueMakesNoJobs),
            (true, false) => Judgement::Ignored(DeliveryReason::MergeQueueBranchFiltered),
            (true, true) => Judgement::Run(Trigger::PullRequest),
        };
    }
    let (event, trigger) = match push.reference.branch() {
        Some(_) => (RepoEvent::Push, Trigger::Push),
        None => (RepoEvent::Tag, Trigger::Tag),
    };
    if !repo.events.contains(&event) {
        return Judgement::Ignored(match event {
            RepoEvent::Tag => DeliveryReason::TagsMakeNoJobs,
            RepoEvent::Push | RepoEvent::PullRequest => DeliveryReason::BranchesMakeNoJobs,
        });
    }
    if push.reference.branch().is_some_and(|branch| !repo.branches.lets_through(branch)) {
        return Judgement::Ignored(DeliveryReason::BranchFiltered);
    }
    if push.asks_to_skip() {
        match repo.skip_ci {
            // It makes a job that ends at once.
            SkipCi::Status if repo.posts => {}
            SkipCi::Status | SkipCi::Silent => return Judgement::Ignored(DeliveryReason::SkippedByMessage),
        }
    }
    Judgement::Run(trigger)
}

/// `branches` is about the branch that a pull request wants to get into.
fn of_pull(repo: &Repo, pull: &PullRequest) -> Judgement {
    match pull.action {
        PullRequestAction::Closed => return Judgement::Removed,
        PullRequestAction::Opened
        | PullRequestAction::Reopened
        | PullRequestAction::Synchronized
        | PullRequestAction::ReadyForReview => {}
    }
    if !repo.events.contains(&RepoEvent::PullRequest) {
        return Judgement::Ignored(DeliveryReason::PullRequestsMakeNoJobs);
    }
    if !repo.branches.lets_through(&pull.base_branch) {
        return Judgement::Ignored(DeliveryReason::BranchFiltered);
    }
    match (pull.from_fork, repo.forks) {
        (false, _) | (true, Forks::Run) => Judgement::Run(Trigger::PullRequest),
        (true, Forks::Approve) => Judgement::Hold,
        (true, Forks::Never) => Judgement::Ignored(DeliveryReason::ForksMakeNoJobs),
    }
}

fn of_rerequest(asked: &Rerequested, app: Option<u64>) -> Judgement {
    match (asked.app_id, app) {
        (Some(asked), Some(ours)) if asked == ours => Judgement::Rerun,
        (Some(_) | None, _) => Judgement::Ignored(DeliveryReason::CheckOfOtherApp),
    }
}

/// Whether a payload speaks of the registered repository: by the forge's number where both have one
/// (it survives renaming), else by the URL.
fn is_of(repo: &Repo, named: &hooks::incoming::Repository) -> bool {
    let same_number = repo.forge_id.is_some() && repo.forge_id == named.forge_id;
    let url = repo.url.get();
    same_number || url.is_some_and(|url| url.same_repository(&named.clone_url))
}

#[cfg(test)]
mod tests {
    use hooks::{Push, incoming::Repository};
    use jobs::{Filter, Label, Links, RepoId, UserId};
    use serde_json::Map;
    use test_case::test_case;

    use super::*;

    fn repo() -> Repo {
        Repo {
            id: RepoId::new(),
            owner: UserId::new(),
            viewers: Vec::new(),
            invited: Vec::new(),
            name: None,
            url: "https://git.example.com/a/pi".into(),
            forge: hooks::Forge::Plain.into(),
            forge_id: Some(7),
            events: vec![RepoEvent::Push],
            branches: Filter::new(&["main"]).unwrap(),
            paths: Filter::default(),
            label: Label::default(),
            links: Links::default(),
            sealed_secret: String::new(),
            sealed_token: None,
            operator_credential: false,
            installation: None,
            webhook_id: None,
            former_urls: Vec::new(),
            posts: false,
            unproved: None,
            forks: Forks::default(),
            skip_ci: SkipCi::default(),
            pull_requests: jobs::PullRequests::default(),
            api_url: None,
            webhook_wanted: false,
            problems: Vec::new(),
            removing_since: None,
            other: Map::new(),
        }
    }

    fn push(reference: &str) -> Push {
        Push {
            repository: Repository {
                forge_id: Some(7),
                full_name: "a/pi".to_owned(),
                clone_url: "https://git.example.com/a/pi.git".parse().unwrap(),
                html_url: None,
                private: false,
                default_branch: None,
            },
            reference: reference.parse().unwrap(),
            before: None,
            after: "a".repeat(40).parse().ok(),
            tagged: None,
            forced: false,
            head_message: None,
            skip_ci: false,
            pusher: None,
            installation: None,
            synthetic: false,
        }
    }

    #[test_case(push("refs/heads/main") => Judgement::Run(Trigger::Push) ; "a branch")]
    #[test_case(push("refs/heads/dev") => Judgement::Ignored("the branch is filtered".into()) ; "another branch")]
    #[test_case(push("refs/tags/v1") => Judgement::Ignored("pushes of tags make no jobs here".into()) ; "a tag")]
    #[test_case(Push { skip_ci: true, ..push("refs/heads/main") } => Judgement::Ignored("the commit message says so".into()) ; "skip")]
    #[test_case(Push { after: None, ..push("refs/heads/main") } => Judgement::Removed ; "a removed branch")]
    fn pushes(push: Push) -> Judgement {
        judge(Some(&repo()), &Incoming::Push(push), None)
    }

    #[test_case(true, SkipCi::Status => Judgement::Run(Trigger::Push) ; "shown as skipped")]
    #[test_case(true, SkipCi::Silent => Judgement::Ignored("the commit message says so".into()) ; "nothing is posted")]
    #[test_case(false, SkipCi::Status => Judgement::Ignored("the commit message says so".into()) ; "nobody to post it")]
    fn commits_that_ask_for_no_run(posts: bool, skip_ci: SkipCi) -> Judgement {
        let repo = Repo { posts, skip_ci, ..repo() };
        let push = Push { skip_ci: true, ..push("refs/heads/main") };
        judge(Some(&repo), &Incoming::Push(push), None)
    }

    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::Push] => Judgement::Run(Trigger::PullRequest) ; "its target passes")]
    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::PullRequest] => Judgement::Run(Trigger::PullRequest) ; "pull requests alone")]
    #[test_case("refs/heads/gh-readonly-queue/dev/pr-5-abc", vec![RepoEvent::Push] => Judgement::Ignored("the branch that the merge queue is of is filtered".into()) ; "its target does not")]
    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::Tag] => Judgement::Ignored("neither pushes to branches nor pull requests make jobs here".into()) ; "neither makes jobs")]
    fn merge_queues(reference: &str, events: Vec<RepoEvent>) -> Judgement {
        let repo = Repo { forge: hooks::Forge::Github.into(), events, ..repo() };
        let push = Push { skip_ci: true, ..push(reference) };
        judge(Some(&repo), &Incoming::Push(push), None)
    }

    #[test_case(Some(7), "https://git.example.com/b/renamed" => true ; "renamed")]
    #[test_case(None, "http://GIT.example.com/a/pi.git" => true ; "without a number")]
    #[test_case(Some(8), "https://git.example.com/a/other" => false ; "another")]
    #[test_case(None, "https://elsewhere.example/a/pi" => false ; "another host")]
    fn speaks_of_it(forge_id: Option<u64>, url: &str) -> bool {
        let mut push = push("refs/heads/main");
        push.repository.forge_id = forge_id;
        push.repository.clone_url = url.parse().unwrap();
        judge(Some(&repo()), &Incoming::Push(push), None) == Judgement::Run(Trigger::Push)
    }

    fn pull(change: impl FnOnce(&mut PullRequest)) -> Incoming {
        let mut pull = PullRequest {
            repository: push("refs/heads/main").repository,
            action: PullRequestAction::Opened,
            number: 5,
            head_sha: "a".repeat(40).parse().unwrap(),
            previous_sha: None,
            head_branch: "topic".to_owned(),
            head_repository: None,
            from_fork: false,
            base_branch: "main".to_owned(),
            base_sha: None,
            draft: true,
            sender: None,
            installation: None,
        };
        change(&mut pull);
        Incoming::PullRequest(pull)
    }

    #[test_case(false, "main", Forks::Never => Judgement::Run(Trigger::PullRequest) ; "of the repository itself")]
    #[test_case(true, "main", Forks::Approve => Judgement::Hold ; "from a fork")]
    #[test_case(true, "main", Forks::Run => Judgement::Run(Trigger::PullRequest) ; "from a fork, trusted")]
    #[test_case(true, "main", Forks::Never => Judgement::Ignored("pull requests from forks make no jobs here".into()) ; "from a fork, never")]
    #[test_case(false, "dev", Forks::Run => Judgement::Ignored("the branch is filtered".into()) ; "into another branch")]
    fn pulls(from_fork: bool, base: &str, forks: Forks) -> Judgement {
        let repo = Repo { events: vec![RepoEvent::PullRequest], forks, ..repo() };
        let pull = pull(|pull| (pull.from_fork, pull.base_branch) = (from_fork, base.to_owned()));
        judge(Some(&repo), &pull, None)
    }

    #[test]
    fn a_closed_pull_request_is_forgotten_also_where_none_makes_jobs() {
        let closed = pull(|pull| pull.action = PullRequestAction::Closed);
        assert_eq!(judge(Some(&repo()), &closed, None), Judgement::Removed);
        assert_eq!(judge(None, &closed, None), Judgement::Ignored("the repository is not registered".into()));
        assert_eq!(
            judge(Some(&repo()), &pull(|_| {}), None),
            Judgement::Ignored("pull requests make no jobs here".into())
        );
    }

    #[test_case(Some(1), Some(1) => true ; "ours")]
    #[test_case(Some(2), Some(1) => false ; "another App's")]
    #[test_case(Some(1), None => false ; "no App here")]
    #[test_case(None, None => false ; "nobody's")]
    fn runs_again(asked: Option<u64>, app: Option<u64>) -> bool {
        let asked = Rerequested {
            repository: push("refs/heads/main").repository,
            sha: "a".repeat(40).parse().unwrap(),
            check_run: None,
            name: None,
            external_id: None,
            app_id: asked,
            sender: None,
            installation: None,
        };
        judge(Some(&repo()), &Incoming::Rerequested(asked), app) == Judgement::Rerun
    }
}
