//! What a language's `runner.toml` says: how it is detected, prepared and run.
//!
//! The contract is `runner-images/README.md`. A file that is wrong is found at start, with one
//! sentence that names the language and what is wrong.

mod condition;

use serde::Deserialize;

pub use condition::{Condition, Facts};

/// A language that jobs can be written in.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The value in the manifest.
    pub language: String,
    /// The image's name with its tag.
    pub image: String,
    /// The image's id at the daemon; empty until the image was found there.
    pub image_id: String,
    /// The image's own `PATH`, else a usual one.
    pub path: String,
    /// Fields of the manifest without which it is wrong.
    pub required: Vec<String>,
    /// Files that must be in the commit (with placeholders).
    pub files: Vec<String>,
    /// How an environment is prepared, if the language has any.
    pub prepare: Option<Prepare>,
    /// The command of the run phase (with placeholders); the job's arguments follow.
    pub run: Vec<String>,
    /// Variables of both phases.
    pub env: Vec<(String, String)>,
}

/// How an environment is prepared.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// Prepare only if this holds.
    pub when: Condition,
    /// What is given to it.
    pub inputs: Inputs,
    /// Words that begin a line of an input which names another input.
    pub follow: Vec<String>,
    /// If this holds, the inputs are all files.
    pub tree_when: Option<Condition>,
    /// With one of these in the commit an environment does not age.
    pub lockfiles: Vec<String>,
    /// The command (with placeholders).
    pub command: Vec<String>,
}

/// The files given to prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// All of the commit.
    Tree,
    /// These (with placeholders), as far as they are there.
    Files(Vec<String>),
}

/// A runner's definition is wrong.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The file is not what it should be.
    #[error("runner-images/{folder}/runner.toml: {problem}")]
    Wrong {
        /// The language's folder.
        folder: String,
        /// In one sentence.
        problem: String,
    },
    /// The folder cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: String,
    /// Only there to change the hash.
    #[serde(rename = "image_version")]
    _image_version: u32,
    #[serde(default)]
    manifest: ManifestTable,
    prepare: Option<PrepareTable>,
    run: RunTable,
    #[serde(default)]
    env: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ManifestTable {
    required: Vec<String>,
    files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrepareTable {
    when: Option<String>,
    inputs: Option<InputsValue>,
    #[serde(default)]
    follow: Vec<String>,
    tree_when: Option<String>,
    #[serde(default)]
    lockfiles: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
}

/// A list or the word `tree`; anything else is named as such, not as "no variant matches".
#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
enum InputsValue {
    List(Vec<String>),
    Word(String),
}

impl TryFrom<toml::Value> for InputsValue {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(word) => Ok(Self::Word(word)),
            other => other
                .try_into()
                .map(Self::List)
                .map_err(|_| "prepare.inputs is neither a list of strings nor \"tree\"".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunTable {
    command: Vec<String>,
}

/// All files of the commit, as the word alone or as the only one of a list.
const TREE: &str = "tree";

/// Where a command of an image is looked for when the image does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Runner {
    /// Reads `runner.toml` of a folder; `image` is the name that the folder's hash gives.
    pub fn parse(folder: &str, text: &str, image: String) -> Result<Self, RunnerError> {
        let wrong = |problem: String| RunnerError::Wrong { folder: folder.to_owned(), problem };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        if file.language.is_empty() || !file.language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return Err(wrong("language must be a word of letters, digits and dashes".to_owned()));
        }
        if file.run.command.is_empty() {
            return Err(wrong("run.command is empty".to_owned()));
        }
        let prepare = file.prepare.map(prepare).transpose().map_err(wrong)?.flatten();
        Ok(Self {
            language: file.language,
            image,
            image_id: String::new(),
            path: USUAL_PATH.to_owned(),
            required: file.manifest.required,
            files: file.manifest.files,
            prepare,
            run: file.run.command,
            env: file.env.into_iter().collect(),
        })
    }

    /// Puts the manifest's fields into a list with placeholders: `{mainFile}` is the field's value,
    /// and an element whose field is absent or empty is left out.
    pub fn fill_in<'a>(template: &[String], field: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
        template.iter().filter_map(|element| fill_in(element, &field)).collect()
    }
}

/// One element of a list with placeholders; `None` if a field that it names is absent or empty.
pub(crate) fn fill_in<'a>(element: &str, field: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = element;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(field(name).filter(|value| !value.is_empty())?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

fn prepare(table: PrepareTable) -> Result<Option<Prepare>, String> {
    let Some(when) = table.when else { return Ok(None) };
    if table.command.is_empty() {
        return Err("prepare.command is empty".to_owned());
    }
    let inputs = match table.inputs.unwrap_or(InputsValue::List(Vec::new())) {
        InputsValue::List(files) if files == [TREE] => Inputs::Tree,
        InputsValue::List(files) => Inputs::Files(files),
        InputsValue::Word(word) if word == TREE => Inputs::Tree,
        InputsValue::Word(_) => return Err(format!("prepare.inputs is neither a list nor {TREE:?}")),
    };
    Ok(Some(Prepare {
        when: when.parse()?,
        inputs,
        follow: table.follow,
        tree_when: table.tree_when.map(|text| text.parse()).transpose()?,
        lockfiles: table.lockfiles,
        command: table.command,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = include_str!("../../../runner-images/python/runner.toml");

    #[test]
    fn the_built_in_definitions_are_right() {
        for (folder, text) in [
            ("python", PYTHON),
            ("rust", include_str!("../../../runner-images/rust/runner.toml")),
            ("nodeJS", include_str!("../../../runner-images/nodeJS/runner.toml")),
        ] {
            assert_eq!(Runner::parse(folder, text, String::new()).unwrap().language, folder);
        }
    }

    #[test]
    fn a_field_that_is_absent_takes_its_element_with_it() {
        let template = ["run".to_owned(), "{mainFile}".to_owned(), "-r={x}".to_owned()];
        let field = |name: &str| (name == "mainFile").then_some("a b.py");
        assert_eq!(Runner::fill_in(&template, field), ["run", "a b.py"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| Runner::parse("x", text, String::new()).unwrap_err().to_string();
        insta::assert_snapshot!(wrong("language = 'x'\nimage_version = 1\n[run]\ncommand = []"), @"runner-images/x/runner.toml: run.command is empty");
        insta::assert_snapshot!(wrong(&PYTHON.replace("follow", "folow")), @"runner-images/x/runner.toml: unknown field `folow`, expected one of `when`, `inputs`, `follow`, `tree_when`, `lockfiles`, `command`");
        insta::assert_snapshot!(wrong(&PYTHON.replace("when = \"requirementsFile\"", "when = \"no such thing\"")), @r#"runner-images/x/runner.toml: "no such thing" is not a condition"#);
        insta::assert_snapshot!(wrong(&PYTHON.replace("[\"{requirementsFile}\"]", "7")), @r#"runner-images/x/runner.toml: prepare.inputs is neither a list of strings nor "tree""#);
    }
}
