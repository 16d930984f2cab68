//! The environment: the only file of this program that reads it.

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
pub(crate) fn names() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("GITFAAS_")).collect()
}

/// The names that are no setting's: most often a slip of the pen.
pub(crate) fn unknown_settings() -> Vec<String> {
    names().into_iter().filter(|name| settings::find(name).is_none()).collect()
}

/// Logs what of the environment a service ignores, and which names have become old.
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

/// What a program that we start needs of the environment: where programs, its home and temporary files are,
/// what time it is here.
const NEEDED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "TZ"];

/// The part of the environment that programs get which we start. It holds no setting, and so no secret.
pub(crate) fn needed() -> Vec<(&'static str, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "this is config.rs")]
    NEEDED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
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
            None => return Err(one(GITFAAS_DATA_DIR, "not set, and there is no home directory").into()),
        },
    };
    make_dir(&dir).map_err(|error| one(GITFAAS_DATA_DIR, &format!("{}: {error}", dir.display())))?;
    Ok(dir)
}

fn make_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A single problem.
pub(crate) fn one(setting: &'static Setting, why: &str) -> Problems {
    Problems(vec![(setting.name.to_owned(), why.to_owned())])
}

/// Puts configurations together that were read one by one: all problems are named, once each.
pub(crate) fn all_problems(parts: Vec<Option<Problems>>) -> Problems {
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

/// Where the service is, and who we are there.
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

    /// Neither a token nor a sign-in.
    pub(crate) fn nobody() -> Problems {
        let ways =
            "not set; sign in with `gitfaas login`, or make one with `gitfaas token create --user EMAIL`";
        one(GITFAAS_TOKEN, ways)
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
        insta::assert_snapshot!(Client::nobody(), @r"
        1 environment variable is wrong:
          GITFAAS_TOKEN: not set; sign in with `gitfaas login`, or make one with `gitfaas token create --user EMAIL`
        ");
    }

    #[test]
    fn a_problem_that_two_parts_found_is_said_once() {
        let listen = || one(settings::GITFAAS_LISTEN, "not an address");
        let all = all_problems(vec![
            Some(listen()),
            None,
            Some(one(GITFAAS_DATA_DIR, "not there")),
            Some(listen()),
        ]);
        assert_eq!(all.0.len(), 2);
    }
}
