//! What a registration says about an event, before there is a job.
//!
//! Branches, tags, events and `[skip ci]` are decided here; what the manifest says, only a worker
//! knows. Nothing here does I/O.

use hooks::Incoming;
use jobs::{Repo, RepoEvent, Trigger};

use crate::webhooks::named;

/// What a delivery means for a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing to do, and why. A push that is filtered still moves its ref.
    Ignored(String),
    /// Not ours, and why.
    Refused(String),
    /// A ref was removed.
    Removed,
    /// One job.
    Run(Trigger),
}

/// What the registration says about an event.
pub(super) fn judge(repo: Option<&Repo>, incoming: &Incoming) -> Judgement {
    let ignored = |why: &str| Judgement::Ignored(why.to_owned());
    if let (Some(repository), Some(repo)) = (named(incoming), repo)
        && !is_of(repo, repository)
    {
        return Judgement::Refused("the delivery names another repository".to_owned());
    }
    let push = match incoming {
        Incoming::Push(push) => push,
        Incoming::Ping => return ignored("ping"),
        Incoming::Ignored(why) => return ignored(why),
        Incoming::PullRequest(_) => return ignored("pull requests make no jobs here"),
        Incoming::Rerequested(_) => return ignored("checks are not run again from the forge's page"),
        Incoming::Installation(_) | Incoming::InstallationRepositories(_) => {
            return ignored("installations register no repositories here");
        }
    };
    let Some(repo) = repo else { return ignored("the repository is not registered") };
    if push.is_deletion() {
        return Judgement::Removed;
    }
    let (event, trigger) = match push.reference.branch() {
        Some(_) => (RepoEvent::Push, Trigger::Push),
        None => (RepoEvent::Tag, Trigger::Tag),
    };
    if !repo.events.contains(&event) {
        return ignored(match event {
            RepoEvent::Tag => "pushes of tags make no jobs here",
            RepoEvent::Push | RepoEvent::PullRequest => "pushes to branches make no jobs here",
        });
    }
    if push.reference.branch().is_some_and(|branch| !repo.branches.lets_through(branch)) {
        return ignored("the branch is filtered");
    }
    if push.asks_to_skip() {
        return ignored("the commit message says so");
    }
    Judgement::Run(trigger)
}

/// Whether a payload speaks of the registered repository: by the forge's number where both have one
/// (it survives renaming), else by the URL.
fn is_of(repo: &Repo, named: &hooks::incoming::Repository) -> bool {
    let same_number = repo.forge_id.is_some() && repo.forge_id == named.forge_id;
    let url = repo.url.parse::<hooks::CloneUrl>();
    same_number || url.is_ok_and(|url| url.same_repository(&named.clone_url))
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
            name: None,
            url: "https://git.example.com/a/pi".to_owned(),
            forge: "plain".to_owned(),
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
            posts: false,
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
            forced: false,
            head_message: None,
            skip_ci: false,
            pusher: None,
            installation: None,
        }
    }

    #[test_case(push("refs/heads/main") => Judgement::Run(Trigger::Push) ; "a branch")]
    #[test_case(push("refs/heads/dev") => Judgement::Ignored("the branch is filtered".into()) ; "another branch")]
    #[test_case(push("refs/tags/v1") => Judgement::Ignored("pushes of tags make no jobs here".into()) ; "a tag")]
    #[test_case(Push { skip_ci: true, ..push("refs/heads/main") } => Judgement::Ignored("the commit message says so".into()) ; "skip")]
    #[test_case(Push { after: None, ..push("refs/heads/main") } => Judgement::Removed ; "a removed branch")]
    fn pushes(push: Push) -> Judgement {
        judge(Some(&repo()), &Incoming::Push(push))
    }

    #[test_case(Some(7), "https://git.example.com/b/renamed" => true ; "renamed")]
    #[test_case(None, "http://GIT.example.com/a/pi.git" => true ; "without a number")]
    #[test_case(Some(8), "https://git.example.com/a/other" => false ; "another")]
    #[test_case(None, "https://elsewhere.example/a/pi" => false ; "another host")]
    fn speaks_of_it(forge_id: Option<u64>, url: &str) -> bool {
        let mut push = push("refs/heads/main");
        push.repository.forge_id = forge_id;
        push.repository.clone_url = url.parse().unwrap();
        judge(Some(&repo()), &Incoming::Push(push)) == Judgement::Run(Trigger::Push)
    }
}
