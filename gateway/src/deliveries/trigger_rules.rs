//! Trigger rules: what a registration says about an event, before there is a job.
//!
//! Events, branches, tags and `[skip ci]` are decided here; the rules of the manifest are applied by workers.
//! Nothing here does I/O.

use hooks::{
    Incoming, Push,
    incoming::{PullRequest, PullRequestAction, Rerequested},
};
use jobs::{DeliveryReason, Forks, Repo, RepoEvent, SkipCi, Trigger};

use crate::deliveries::{push::merge_queue_branch, routing::repository_of};

/// What an event triggers in a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TriggerDecision {
    /// Nothing, and why. A push that is filtered still updates the ref's head.
    Ignored(DeliveryReason),
    /// The payload cannot be accepted, and why.
    Rejected(DeliveryReason),
    /// A ref was deleted, or a pull request closed.
    RefDeleted,
    /// No job before an owner approves.
    Hold,
    /// The newest jobs of a commit are repeated.
    Rerun,
    /// The App was installed, changed or removed; see [`crate::repos::installation`].
    Installation,
    /// One job.
    Run(Trigger),
}

/// Decides what an event triggers. `app` is the configured GitHub App.
pub(crate) fn decide(repo: Option<&Repo>, incoming: &Incoming, app: Option<u64>) -> TriggerDecision {
    if let (Some(repository), Some(repo)) = (repository_of(incoming), repo)
        && !is_same_repository(repo, repository)
    {
        return TriggerDecision::Rejected(DeliveryReason::OtherRepository);
    }
    let unknown = || TriggerDecision::Ignored(DeliveryReason::RepositoryNotRegistered);
    match incoming {
        Incoming::Ping => TriggerDecision::Ignored(DeliveryReason::Ping),
        Incoming::Ignored(why) => TriggerDecision::Ignored(why.as_str().into()),
        Incoming::Push(push) => repo.map_or_else(unknown, |repo| decide_push(repo, push)),
        Incoming::PullRequest(pull) => repo.map_or_else(unknown, |repo| decide_pull_request(repo, pull)),
        Incoming::Rerequested(rerequested) => {
            repo.map_or_else(unknown, |_| decide_rerequest(rerequested, app))
        }
        Incoming::Installation(_) | Incoming::InstallationRepositories(_) => match repo {
            Some(_) => TriggerDecision::Ignored(DeliveryReason::InstallationAtRepositoryHook),
            None => TriggerDecision::Installation,
        },
    }
}

fn decide_push(repo: &Repo, push: &Push) -> TriggerDecision {
    if push.is_deletion() {
        return TriggerDecision::RefDeleted;
    }
    if let Some(target) = merge_queue_branch(repo, push) {
        let makes_jobs = [RepoEvent::Push, RepoEvent::PullRequest].iter().any(|of| repo.events.contains(of));
        return match (makes_jobs, repo.branches.lets_through(target)) {
            (false, _) => TriggerDecision::Ignored(DeliveryReason::MergeQueueMakesNoJobs),
            (true, false) => TriggerDecision::Ignored(DeliveryReason::MergeQueueBranchFiltered),
            (true, true) => TriggerDecision::Run(Trigger::PullRequest),
        };
    }
    let (event, trigger) = match push.reference.branch() {
        Some(_) => (RepoEvent::Push, Trigger::Push),
        None => (RepoEvent::Tag, Trigger::Tag),
    };
    if !repo.events.contains(&event) {
        return TriggerDecision::Ignored(match event {
            RepoEvent::Tag => DeliveryReason::TagsMakeNoJobs,
            RepoEvent::Push | RepoEvent::PullRequest => DeliveryReason::BranchesMakeNoJobs,
        });
    }
    if push.reference.branch().is_some_and(|branch| !repo.branches.lets_through(branch)) {
        return TriggerDecision::Ignored(DeliveryReason::BranchFiltered);
    }
    if push.asks_to_skip() {
        match repo.skip_ci {
            // It creates a job that ends at once.
            SkipCi::Status if repo.posts => {}
            SkipCi::Status | SkipCi::Silent => {
                return TriggerDecision::Ignored(DeliveryReason::SkippedByMessage);
            }
        }
    }
    TriggerDecision::Run(trigger)
}

/// The filter `branches` applies to the base branch.
fn decide_pull_request(repo: &Repo, pull: &PullRequest) -> TriggerDecision {
    match pull.action {
        PullRequestAction::Closed => return TriggerDecision::RefDeleted,
        PullRequestAction::Opened
        | PullRequestAction::Reopened
        | PullRequestAction::Synchronized
        | PullRequestAction::ReadyForReview => {}
    }
    if !repo.events.contains(&RepoEvent::PullRequest) {
        return TriggerDecision::Ignored(DeliveryReason::PullRequestsMakeNoJobs);
    }
    if !repo.branches.lets_through(&pull.base_branch) {
        return TriggerDecision::Ignored(DeliveryReason::BranchFiltered);
    }
    match (pull.from_fork, repo.forks) {
        (false, _) | (true, Forks::Run) => TriggerDecision::Run(Trigger::PullRequest),
        (true, Forks::Approve) => TriggerDecision::Hold,
        (true, Forks::Never) => TriggerDecision::Ignored(DeliveryReason::ForksMakeNoJobs),
    }
}

fn decide_rerequest(rerequested: &Rerequested, app: Option<u64>) -> TriggerDecision {
    match (rerequested.app_id, app) {
        (Some(asked), Some(ours)) if asked == ours => TriggerDecision::Rerun,
        (Some(_) | None, _) => TriggerDecision::Ignored(DeliveryReason::CheckOfOtherApp),
    }
}

/// Whether a payload is about the registered repository: by the forge's id where both have one (it survives
/// renames), else by the URL.
fn is_same_repository(repo: &Repo, named: &hooks::incoming::Repository) -> bool {
    let same_number = repo.forge_id.is_some() && repo.forge_id == named.forge_id;
    let url = repo.url.get();
    same_number || url.is_some_and(|url| url.same_repository(&named.clone_url))
}

#[cfg(test)]
mod tests {
    use hooks::{Push, incoming::Repository};
    use jobs::{Filter, Label, PageAccess, RepoId, UserId};
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
            function: None,
            url: "https://git.example.com/a/pi".into(),
            forge: hooks::Forge::Plain.into(),
            forge_id: Some(7),
            default_branch: None,
            events: vec![RepoEvent::Push],
            branches: Filter::new(&["main"]).unwrap(),
            paths: Filter::default(),
            label: Label::default(),
            links: PageAccess::default(),
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
            calls: jobs::CallSettings::default(),
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

    #[test_case(push("refs/heads/main") => TriggerDecision::Run(Trigger::Push) ; "a branch")]
    #[test_case(push("refs/heads/dev") => TriggerDecision::Ignored("the branch is filtered".into()) ; "another branch")]
    #[test_case(push("refs/tags/v1") => TriggerDecision::Ignored("pushes of tags make no jobs here".into()) ; "a tag")]
    #[test_case(Push { skip_ci: true, ..push("refs/heads/main") } => TriggerDecision::Ignored("the commit message says so".into()) ; "skip")]
    #[test_case(Push { after: None, ..push("refs/heads/main") } => TriggerDecision::RefDeleted ; "a removed branch")]
    fn pushes(push: Push) -> TriggerDecision {
        decide(Some(&repo()), &Incoming::Push(push), None)
    }

    #[test_case(true, SkipCi::Status => TriggerDecision::Run(Trigger::Push) ; "shown as skipped")]
    #[test_case(true, SkipCi::Silent => TriggerDecision::Ignored("the commit message says so".into()) ; "nothing is posted")]
    #[test_case(false, SkipCi::Status => TriggerDecision::Ignored("the commit message says so".into()) ; "nobody to post it")]
    fn commits_that_ask_for_no_run(posts: bool, skip_ci: SkipCi) -> TriggerDecision {
        let repo = Repo { posts, skip_ci, ..repo() };
        let push = Push { skip_ci: true, ..push("refs/heads/main") };
        decide(Some(&repo), &Incoming::Push(push), None)
    }

    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::Push] => TriggerDecision::Run(Trigger::PullRequest) ; "its target passes")]
    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::PullRequest] => TriggerDecision::Run(Trigger::PullRequest) ; "pull requests alone")]
    #[test_case("refs/heads/gh-readonly-queue/dev/pr-5-abc", vec![RepoEvent::Push] => TriggerDecision::Ignored("the branch that the merge queue is of is filtered".into()) ; "its target does not")]
    #[test_case("refs/heads/gh-readonly-queue/main/pr-5-abc", vec![RepoEvent::Tag] => TriggerDecision::Ignored("neither pushes to branches nor pull requests make jobs here".into()) ; "neither makes jobs")]
    fn merge_queues(reference: &str, events: Vec<RepoEvent>) -> TriggerDecision {
        let repo = Repo { forge: hooks::Forge::Github.into(), events, ..repo() };
        let push = Push { skip_ci: true, ..push(reference) };
        decide(Some(&repo), &Incoming::Push(push), None)
    }

    #[test_case(Some(7), "https://git.example.com/b/renamed" => true ; "renamed")]
    #[test_case(None, "http://GIT.example.com/a/pi.git" => true ; "without a number")]
    #[test_case(Some(8), "https://git.example.com/a/other" => false ; "another")]
    #[test_case(None, "https://elsewhere.example/a/pi" => false ; "another host")]
    fn speaks_of_it(forge_id: Option<u64>, url: &str) -> bool {
        let mut push = push("refs/heads/main");
        push.repository.forge_id = forge_id;
        push.repository.clone_url = url.parse().unwrap();
        decide(Some(&repo()), &Incoming::Push(push), None) == TriggerDecision::Run(Trigger::Push)
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

    #[test_case(false, "main", Forks::Never => TriggerDecision::Run(Trigger::PullRequest) ; "of the repository itself")]
    #[test_case(true, "main", Forks::Approve => TriggerDecision::Hold ; "from a fork")]
    #[test_case(true, "main", Forks::Run => TriggerDecision::Run(Trigger::PullRequest) ; "from a fork, trusted")]
    #[test_case(true, "main", Forks::Never => TriggerDecision::Ignored("pull requests from forks make no jobs here".into()) ; "from a fork, never")]
    #[test_case(false, "dev", Forks::Run => TriggerDecision::Ignored("the branch is filtered".into()) ; "into another branch")]
    fn pulls(from_fork: bool, base: &str, forks: Forks) -> TriggerDecision {
        let repo = Repo { events: vec![RepoEvent::PullRequest], forks, ..repo() };
        let pull = pull(|pull| (pull.from_fork, pull.base_branch) = (from_fork, base.to_owned()));
        decide(Some(&repo), &pull, None)
    }

    #[test]
    fn a_closed_pull_request_is_forgotten_also_where_none_makes_jobs() {
        let closed = pull(|pull| pull.action = PullRequestAction::Closed);
        assert_eq!(decide(Some(&repo()), &closed, None), TriggerDecision::RefDeleted);
        assert_eq!(
            decide(None, &closed, None),
            TriggerDecision::Ignored("the repository is not registered".into())
        );
        assert_eq!(
            decide(Some(&repo()), &pull(|_| {}), None),
            TriggerDecision::Ignored("pull requests make no jobs here".into())
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
        decide(Some(&repo()), &Incoming::Rerequested(asked), app) == TriggerDecision::Rerun
    }
}
