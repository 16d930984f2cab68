//! Reads the environment; no other file of this program does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jobs::{
    Secret,
    settings::{
        self, GITFAAS_CA_BUNDLE, GITFAAS_DATA_DIR, GITFAAS_TOKEN, GITFAAS_URL, Problems, Reader, Setting,
    },
};
use url::Url;

use crate::credentials::Credentials;

/// One variable of the process's environment; an empty one counts as not set.
pub(crate) fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// The names of all variables that begin with `GITFAAS_`.
pub(crate) fn variable_names() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("GITFAAS_")).collect()
}

/// The names that are no setting's, most often misspelt.
pub(crate) fn unknown_settings() -> Vec<String> {
    variable_names().into_iter().filter(|name| settings::find(name).is_none()).collect()
}

/// Warns of unknown settings, and of old names.
pub(crate) fn warn_of_names() {
    for name in unknown_settings() {
        let nearest = settings::nearest(&name).map(|setting| setting.name);
        tracing::warn!(name, nearest, "unknown setting ignored");
    }
    for setting in settings::all() {
        if let Some((old, _)) = setting.set_as(&var).filter(|(name, _)| *name != setting.name) {
            tracing::warn!(name = setting.name, old, "setting has a new name");
        }
    }
}

/// What a child process inherits of the environment: where programs, home and temporary files are, and the
/// time zone.
const CHILD_VARIABLES: [&str; 4] = ["PATH", "HOME", "TMPDIR", "TZ"];

/// The part of the environment that child processes get. It holds no setting, and so no secret.
pub(crate) fn child_environment() -> Vec<(&'static str, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    CHILD_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}

/// The folders of `PATH`.
pub(crate) fn path() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where this installation keeps its files; made, readable for its owner only, if it is not there.
pub(crate) fn data_dir(var: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<PathBuf> {
    let dir = match GITFAAS_DATA_DIR.text(var) {
        Some(dir) => std::path::absolute(dir)?,
        None => match directories::ProjectDirs::from("", "", "gitfaas") {
            Some(dirs) => dirs.data_dir().to_owned(),
            None => {
                return Err(
                    single_problem(GITFAAS_DATA_DIR, "not set, and there is no home directory").into()
                );
            }
        },
    };
    make_dir(&dir)
        .map_err(|error| single_problem(GITFAAS_DATA_DIR, &format!("{}: {error}", dir.display())))?;
    Ok(dir)
}

fn make_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A single problem.
pub(crate) fn single_problem(setting: &'static Setting, why: &str) -> Problems {
    Problems(vec![(setting.name.to_owned(), why.to_owned())])
}

/// Merges the problems of several configurations, without duplicates.
pub(crate) fn merge_problems(parts: Vec<Option<Problems>>) -> Problems {
    let mut problems: Vec<(String, String)> = Vec::new();
    for problem in parts.into_iter().flatten().flat_map(|part| part.0) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    Problems(problems)
}

/// Where `gitfaas login` keeps what it got.
pub(crate) fn credentials() -> anyhow::Result<Credentials> {
    let dirs = directories::ProjectDirs::from("", "", "gitfaas").context("there is no home directory")?;
    Ok(Credentials::in_folder(dirs.config_dir()))
}

/// Settings of the commands that talk to a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) url: Url,
    /// Absent means that of `gitfaas login`.
    pub(crate) token: Option<Secret>,
    pub(crate) ca_bundle: Option<PathBuf>,
}

impl Client {
    /// Reads the settings of the commands that talk to a gateway.
    pub(crate) fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let url: Url = env.value(GITFAAS_URL);
        if !matches!(url.scheme(), "http" | "https") {
            env.problem(GITFAAS_URL, "must begin with http:// or https://");
        }
        let token = env.optional::<Secret>(GITFAAS_TOKEN);
        let ca_bundle = env.optional(GITFAAS_CA_BUNDLE);
        env.finish(|| Some(Self { url, token, ca_bundle }))
    }

    /// The error of a command that has neither a token nor a sign-in.
    pub(crate) fn missing_token() -> Problems {
        let ways =
            "not set; sign in with `gitfaas login`, or make one with `gitfaas token create --user EMAIL`";
        single_problem(GITFAAS_TOKEN, ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_all_that_is_wrong() {
        let var = |name: &str| (name == "GITFAAS_URL").then(|| "ftp://example.com".to_owned());
        insta::assert_snapshot!(Client::read(&var).unwrap_err(), @r"
        1 environment variable is wrong:
          GITFAAS_URL: must begin with http:// or https://
        ");
        insta::assert_snapshot!(Client::missing_token(), @r"
        1 environment variable is wrong:
          GITFAAS_TOKEN: not set; sign in with `gitfaas login`, or make one with `gitfaas token create --user EMAIL`
        ");
    }

    #[test]
    fn a_problem_that_two_parts_found_is_said_once() {
        let listen = || single_problem(settings::GITFAAS_LISTEN, "not an address");
        let all = merge_problems(vec![
            Some(listen()),
            None,
            Some(single_problem(GITFAAS_DATA_DIR, "not there")),
            Some(listen()),
        ]);
        assert_eq!(all.0.len(), 2);
    }
}
