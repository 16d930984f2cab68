//! What is shown of registered repositories: to owners, and to viewers.

use jobs::{
    Problem, Repo, SigningSecret,
    api::{self, OpenEnum, ProblemAbout, ViewerRole},
};

use crate::repos::problems::{fix, reports_status};

/// A registration, without the secret, and without the viewers, whose addresses it does not know.
pub(crate) fn repo(repo: &Repo, public_url: &url::Url) -> api::Repo {
    let webhook = public_url.join(&format!("webhooks/{}", repo.id)).expect("an id is a path");
    api::Repo {
        id: repo.id,
        url: repo.url.to_string(),
        forge: OpenEnum::from_word(repo.forge.as_str()),
        name: repo.name.clone(),
        function: repo.function.as_ref().map(ToString::to_string),
        branches: repo.branches.globs().map(str::to_owned).collect(),
        paths: repo.paths.globs().map(str::to_owned).collect(),
        events: repo.events.iter().copied().map(OpenEnum::Known).collect(),
        links: repo.links.into(),
        forks: repo.forks.into(),
        label: repo.label.clone(),
        viewers: Vec::new(),
        posts: reports_status(repo),
        posts_reason: None,
        problems: repo.problems.iter().map(problem).collect(),
        skip_ci: repo.skip_ci.into(),
        pull_requests: repo.pull_requests.into(),
        api_url: repo.api_url.clone(),
        removing_since: repo.removing_since,
        also_registered: Vec::new(),
        webhook_url: webhook.into(),
        secret: None,
        webhook: None,
        access: repo.calls.access.into(),
        enabled: repo.calls.enabled,
        signing_secrets: repo.calls.signing_secrets.iter().map(signing_secret).collect(),
        installation: repo.installation,
    }
}

fn signing_secret(secret: &SigningSecret) -> api::SigningSecret {
    api::SigningSecret { id: secret.id.clone(), added_at: secret.added_at }
}

/// Something that its owner has to mend.
fn problem(problem: &Problem) -> api::Problem {
    api::Problem {
        about: ProblemAbout::from(problem.about).into(),
        message: problem.message.clone(),
        since: problem.since,
        fix: fix(problem.about).to_owned(),
    }
}

/// A repository as its viewers see it.
pub(crate) fn viewed_repo(repo: &Repo) -> api::ViewedRepo {
    api::ViewedRepo {
        id: repo.id,
        url: repo.url.to_string(),
        forge: OpenEnum::from_word(repo.forge.as_str()),
        name: repo.name.clone(),
        function: repo.function.as_ref().map(ToString::to_string),
        role: ViewerRole::Viewer,
    }
}
