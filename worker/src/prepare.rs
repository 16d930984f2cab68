//! What has to be prepared for a commit, judged by its language's `runner.toml`.
//!
//! Prepare sees exactly the files that its key covers; where that cannot be told, all files.

use std::{cell::RefCell, collections::BTreeSet};

use jobs::manifest::Manifest;

use crate::{
    runner::{Condition, Facts, Inputs, Prepare, Runner},
    sandbox::Expiry,
    source::{Files, Found, Selection, SourceError, Spool, Tree},
};

/// Files that are looked into while judging; a list of packages that is longer is not one.
const MAX_FACT_BYTES: u64 = 4 << 20;
/// Inputs that name further inputs: more than this is a loop or an attack.
const MAX_INPUTS: usize = 500;

/// What prepare is to be given.
#[derive(Debug)]
pub struct PrepareInputs {
    /// Exactly the files that the environment depends on.
    pub tree: Tree,
    /// When the environment expires.
    pub expiry: Expiry,
}

/// The manifest's fields and the commit's files, as `runner.toml` refers to them.
struct CommitFacts<'a> {
    manifest: &'a Manifest,
    files: &'a Files,
    reached: BTreeSet<String>,
    error: RefCell<Option<SourceError>>,
}

/// A field of the manifest by its published name.
pub fn field<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a str> {
    match name {
        "mainFile" => manifest.main_file.as_deref(),
        "requirementsFile" => manifest.requirements_file.as_deref(),
        "language" => Some(&manifest.language),
        _ => None,
    }
}

impl Facts for CommitFacts<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        field(self.manifest, name)
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        match self.files.read(path, MAX_FACT_BYTES) {
            Ok(Found::File(bytes)) => Some(bytes),
            Ok(Found::Absent | Found::NotAFile | Found::TooLarge(_)) => None,
            Err(error) => {
                self.error.replace(Some(error));
                None
            }
        }
    }

    fn reached(&self, path: &str) -> Vec<String> {
        if self.reached.contains(path) {
            self.reached.iter().cloned().collect()
        } else {
            vec![path.to_owned()]
        }
    }
}

/// The inputs of the prepare phase, or `None` when there is nothing to prepare. Blocking.
///
/// # Errors
/// A limit, or the commit's objects.
pub fn inputs(
    runner: &Runner,
    manifest: &Manifest,
    files: &Files,
    max_bytes: u64,
    spool: &Spool,
) -> Result<Option<PrepareInputs>, SourceError> {
    let Some(prepare) = &runner.prepare else { return Ok(None) };
    let mut facts = CommitFacts { manifest, files, reached: BTreeSet::new(), error: RefCell::new(None) };
    facts.reached = reach(prepare, &facts);
    let holds = |condition: &Condition| condition.holds(&facts);
    let needed = holds(&prepare.when);
    let whole = prepare.inputs == Inputs::Tree || prepare.tree_when.as_ref().is_some_and(holds);
    let locked = prepare.lockfiles.iter().any(|lockfile| facts.file(lockfile).is_some());
    if let Some(error) = facts.error.take() {
        return Err(error);
    }
    if !needed {
        return Ok(None);
    }
    let paths: Vec<String> = facts.reached.iter().cloned().collect();
    let selection = if whole { Selection::All } else { Selection::Only(&paths) };
    let tree = files.pack(selection, max_bytes, spool)?;
    Ok(Some(PrepareInputs { tree, expiry: if locked { Expiry::Never } else { Expiry::Daily } }))
}

/// The listed inputs, and what they name by `follow`, and so on from there.
fn reach(prepare: &Prepare, facts: &CommitFacts<'_>) -> BTreeSet<String> {
    let Inputs::Files(listed) = &prepare.inputs else { return BTreeSet::new() };
    let mut todo = Runner::fill_in(listed, |name| facts.field(name));
    let mut reached = BTreeSet::new();
    while let Some(path) = todo.pop() {
        if reached.len() >= MAX_INPUTS || reached.contains(&path) {
            continue;
        }
        if !prepare.follow.is_empty()
            && let Some(bytes) = facts.file(&path)
        {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let text = String::from_utf8_lossy(&bytes);
            let names = text.lines().filter_map(|line| named(line.trim(), &prepare.follow));
            for name in names.filter_map(|name| join(folder, name)) {
                // A list may name a million files.
                if todo.len() >= MAX_INPUTS {
                    break;
                }
                if !reached.contains(&name) && !todo.contains(&name) {
                    todo.push(name);
                }
            }
        }
        reached.insert(path);
    }
    reached
}

/// The file that a line names, if it begins with one of the words.
fn named<'a>(line: &'a str, follow: &[String]) -> Option<&'a str> {
    follow.iter().find_map(|word| {
        let rest = line.strip_prefix(word.as_str())?;
        let name =
            rest.strip_prefix('=').or_else(|| rest.starts_with([' ', '\t']).then(|| rest.trim_start()))?;
        let name = name.split(" #").next().unwrap_or(name).trim();
        (!name.is_empty()).then_some(name)
    })
}

/// A path relative to a folder, with its dots resolved; `None` when it leaves the repository.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use jobs::manifest::{Ceilings, Languages};
    use test_case::test_case;

    use super::*;
    use crate::{disk_quota::DiskQuota, source::DirectoryFiles};

    struct Any;

    impl Languages for Any {
        fn required_fields(&self, _: &str) -> Option<Vec<String>> {
            Some(Vec::new())
        }

        fn names(&self) -> Vec<String> {
            Vec::new()
        }
    }

    fn judged(
        language: &str,
        manifest: &str,
        files: &[(&str, &str)],
    ) -> (tempfile::TempDir, Option<PrepareInputs>) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let full = dir.path().join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, text).unwrap();
        }
        let toml = match language {
            "python" => include_str!("../../runner-images/python/runner.toml"),
            "nodeJS" => include_str!("../../runner-images/nodeJS/runner.toml"),
            _ => include_str!("../../runner-images/rust/runner.toml"),
        };
        let runner = Runner::parse(language, toml, String::new()).unwrap();
        let manifest = Manifest::parse(manifest.as_bytes(), &Ceilings::default(), &Any).unwrap();
        let source = Files::Directory(DirectoryFiles::new(dir.path().to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().to_owned(), &DiskQuota::new(1 << 20), "a");
        let inputs = inputs(&runner, &manifest, &source, 1 << 20, &spool).unwrap();
        (dir, inputs)
    }

    async fn names(inputs: &PrepareInputs) -> Vec<String> {
        use tokio::io::AsyncReadExt as _;
        let mut tar = Vec::new();
        inputs.tree.reader().await.unwrap().read_to_end(&mut tar).await.unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[tokio::test]
    async fn python_prepares_what_its_requirements_name_and_nothing_else() {
        let manifest = r#"{"language": "python", "mainFile": "m.py", "requirementsFile": "deps/r.txt"}"#;
        let files = [
            ("m.py", ""),
            ("deps/r.txt", "requests\n-r more.txt\n-c=c.txt # why\n"),
            ("deps/more.txt", ""),
            ("deps/c.txt", ""),
        ];
        let (_dir, inputs) = judged("python", manifest, &files);
        assert_eq!(names(&inputs.unwrap()).await, ["deps/c.txt", "deps/more.txt", "deps/r.txt"]);
        assert!(
            judged("python", r#"{"language": "python", "mainFile": "m.py"}"#, &[("m.py", "")]).1.is_none()
        );
    }

    #[tokio::test]
    async fn a_requirement_that_is_a_path_takes_the_whole_tree() {
        let manifest = r#"{"language": "python", "mainFile": "m.py", "requirementsFile": "r.txt"}"#;
        let (_dir, inputs) =
            judged("python", manifest, &[("m.py", ""), ("r.txt", "./local\n"), ("local/setup.py", "")]);
        assert!(names(&inputs.unwrap()).await.contains(&"local/setup.py".to_owned()));
    }

    #[test]
    fn node_without_dependencies_prepares_nothing_and_a_lockfile_does_not_age() {
        let manifest = r#"{"language": "nodeJS"}"#;
        assert!(
            judged("nodeJS", manifest, &[("package.json", r#"{"scripts": {"start": "node x"}}"#)])
                .1
                .is_none()
        );
        let package = ("package.json", r#"{"dependencies": {"lodash": "*"}}"#);
        assert_eq!(judged("nodeJS", manifest, &[package]).1.unwrap().expiry, Expiry::Daily);
        assert_eq!(
            judged("nodeJS", manifest, &[package, ("package-lock.json", "{}")]).1.unwrap().expiry,
            Expiry::Never
        );
    }

    #[test_case("", "a/b" => Some("a/b".to_owned()))]
    #[test_case("deps", "../c" => Some("c".to_owned()))]
    #[test_case("deps", "../../c" => None)]
    fn joined(folder: &str, name: &str) -> Option<String> {
        join(folder, name)
    }
}
