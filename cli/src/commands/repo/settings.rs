//! What is said of a repository in a request; what was not given is left to the gateway.

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::args::{ForgeToken, RepoSettings};

/// The settings that were given.
pub(super) fn given(settings: &RepoSettings) -> Map<String, Value> {
    let words = |values: &[String]| (!values.is_empty()).then(|| Value::from(values.to_vec()));
    let word = |value: &Option<String>| value.clone().map(Value::from);
    let all = [
        ("name", word(&settings.name)),
        ("branches", words(&settings.branches)),
        ("paths", words(&settings.paths)),
        ("events", words(&settings.events)),
        ("forks", word(&settings.forks)),
        ("links", word(&settings.links)),
        ("label", word(&settings.label)),
        ("skip_ci", word(&settings.skip_ci)),
        ("pull_requests", word(&settings.pull_requests)),
        ("api_url", word(&settings.api_url)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
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
