//! What is said of a repository in a request; what was not given is left to the gateway.

use anyhow::{Context as _, ensure};
use jobs::{Filter, RepoEvent, api::RepoRequest};
use serde::de::DeserializeOwned;

use crate::{
    args::{ForgeToken, RepoSettings},
    fields::read,
};

/// The settings that were given.
pub(super) fn given(settings: &RepoSettings) -> anyhow::Result<RepoRequest> {
    let events = settings.events.iter().map(|event| read(event)).collect::<Result<Vec<RepoEvent>, _>>()?;
    Ok(RepoRequest {
        name: settings.name.clone(),
        function: settings.function.clone(),
        branches: globs("branches", &settings.branches)?,
        paths: globs("paths", &settings.paths)?,
        events: (!events.is_empty()).then_some(events),
        forks: word("forks", settings.forks.as_deref())?,
        links: word("links", settings.links.as_deref())?,
        label: word("label", settings.label.as_deref())?,
        skip_ci: word("skip_ci", settings.skip_ci.as_deref())?,
        pull_requests: word("pull_requests", settings.pull_requests.as_deref())?,
        api_url: settings.api_url.clone(),
        access: word("access", settings.calls.access.as_deref())?,
        enabled: (settings.calls.enabled || settings.calls.disabled).then_some(settings.calls.enabled),
        ..RepoRequest::default()
    })
}

fn globs(name: &'static str, globs: &[String]) -> anyhow::Result<Option<Filter>> {
    let filter = (!globs.is_empty()).then(|| Filter::new(globs)).transpose();
    filter.context(name)
}

/// A word that must be one of those that the API has.
pub(super) fn word<T: DeserializeOwned>(name: &'static str, word: Option<&str>) -> anyhow::Result<Option<T>> {
    word.map(read).transpose().context(name)
}

/// The token comes from a file or from standard input, never from the command line, which others see.
///
/// An empty one is a mistake, such as a program before the pipe that failed, and would take the token
/// away that is there.
pub(super) fn token(args: &ForgeToken) -> anyhow::Result<Option<String>> {
    let token = if args.token_stdin {
        std::io::read_to_string(std::io::stdin()).context("cannot read the token from standard input")?
    } else if let Some(path) = &args.token_file {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        return Ok(None);
    };
    let token = token.trim();
    ensure!(!token.is_empty(), "the token is empty");
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn from_file(path: PathBuf) -> anyhow::Result<Option<String>> {
        token(&ForgeToken { token_file: Some(path), token_stdin: false })
    }

    #[test]
    fn a_token_is_what_is_in_its_file_and_an_empty_one_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "t0ken\n").unwrap();
        assert_eq!(from_file(path.clone()).unwrap().as_deref(), Some("t0ken"));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(from_file(path).unwrap_err().to_string(), "the token is empty");
        assert!(from_file(dir.path().join("nowhere")).is_err());
        assert_eq!(token(&ForgeToken { token_file: None, token_stdin: false }).unwrap(), None);
    }
}
