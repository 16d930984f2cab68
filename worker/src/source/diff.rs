//! In which paths two commits differ.

use std::collections::{BTreeMap, BTreeSet};

use gix::{ObjectId, objs::tree::EntryMode};

use super::{
    CommitFiles, MAX_FILES, READ_TIMEOUT, SourceError,
    commit::{Folder, MAX_DEPTH},
};
use crate::objects::{Deadline, Store};

/// The paths in which two commits differ, found by comparing their trees; equal subtrees are not
/// entered. Stops early when `enough` says so.
///
/// # Errors
/// An object is missing, the trees are nested too deeply, or they differ in more paths than a commit may
/// have.
pub fn changed_paths(
    old: &CommitFiles,
    new: &CommitFiles,
    enough: &mut dyn FnMut(&str) -> bool,
) -> Result<(), SourceError> {
    let deadline = Deadline::of(READ_TIMEOUT);
    let mut comparison =
        Comparison { old: &old.store, new: &new.store, seen: 0, deadline: &deadline, enough };
    comparison.folders(Some(old.tree), Some(new.tree), "", 0, 0).map(|_| ())
}

type Entries = BTreeMap<Vec<u8>, (EntryMode, ObjectId)>;

struct Comparison<'a> {
    old: &'a Store,
    new: &'a Store,
    /// Entries of folders that were entered, on both sides.
    seen: usize,
    deadline: &'a Deadline,
    enough: &'a mut dyn FnMut(&str) -> bool,
}

impl Comparison<'_> {
    /// The entries of a folder on one side, and how many bytes it has.
    fn entries(
        &mut self,
        store: &Store,
        tree: Option<ObjectId>,
        open: u64,
    ) -> Result<(Entries, u64), SourceError> {
        let Some(tree) = tree else { return Ok((Entries::new(), 0)) };
        let folder = Folder::read(store, &tree, open, self.deadline)?;
        self.seen += folder.entries().count();
        if self.seen > 2 * MAX_FILES {
            return Err(SourceError::TooMany);
        }
        let entries = folder
            .entries()
            .map(|entry| entry.map(|entry| (entry.filename.to_vec(), (entry.mode, entry.oid.to_owned()))));
        Ok((entries.collect::<Result<_, _>>()?, folder.len_bytes()))
    }

    /// Returns whether it was enough. `open` are the bytes of the folders around these.
    fn folders(
        &mut self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        prefix: &str,
        depth: usize,
        open: u64,
    ) -> Result<bool, SourceError> {
        if old == new {
            return Ok(false);
        }
        if depth > MAX_DEPTH {
            return Err(SourceError::path(prefix));
        }
        let (old, old_bytes) = self.entries(self.old, old, open)?;
        let (new, new_bytes) = self.entries(self.new, new, open + old_bytes)?;
        let open = open + old_bytes + new_bytes;
        let names: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (before, after) = (old.get(name), new.get(name));
            if before == after {
                continue;
            }
            let name = String::from_utf8_lossy(name);
            let path = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            let tree_of = |entry: Option<&(EntryMode, ObjectId)>| {
                entry.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| *id)
            };
            let (tree_before, tree_after) = (tree_of(before), tree_of(after));
            let file_changed =
                (before.is_some() && tree_before.is_none()) || (after.is_some() && tree_after.is_none());
            if file_changed && (self.enough)(&path) {
                return Ok(true);
            }
            if self.folders(tree_before, tree_after, &path, depth + 1, open)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::{super::test_repository::Repository, *};

    fn changed(old: &CommitFiles, new: &CommitFiles) -> Vec<String> {
        let mut paths = Vec::new();
        let mut all = |path: &str| {
            paths.push(path.to_owned());
            false
        };
        changed_paths(old, new, &mut all).unwrap();
        paths
    }

    #[test_case("" => Vec::<String>::new() ; "nothing")]
    #[test_case("echo 2 > main.py" => vec!["main.py"] ; "a file at the top")]
    #[test_case("echo 2 > docs/deep/b.md" => vec!["docs/deep/b.md"] ; "a file below folders")]
    #[test_case("echo 2 > docs/deep/new" => vec!["docs/deep/new"] ; "a new file")]
    #[test_case("rm -r docs" => vec!["docs/a.md", "docs/deep/b.md"] ; "a removed folder")]
    #[test_case("mv lib source" => vec!["lib/c.py", "source/c.py"] ; "a renamed folder")]
    #[test_case("chmod +x main.py" => vec!["main.py"] ; "a file that can be executed now")]
    #[test_case("rm main.py; ln -s lib/c.py main.py" => vec!["main.py"] ; "a link instead of a file")]
    #[test_case("rm main.py; mkdir main.py; echo 2 > main.py/x" => vec!["main.py", "main.py/x"] ; "a folder instead of a file")]
    #[test_case("rm -r lib; echo 2 > lib" => vec!["lib", "lib/c.py"] ; "a file instead of a folder")]
    #[test_case("echo 2 > 'a b é'" => vec!["a b é"] ; "a name that is not plain")]
    fn what_differs_between_two_commits(script: &str) -> Vec<String> {
        let repository = Repository::new();
        let (old, new) = (repository.first(), repository.commit(script));
        let paths = changed(&old, &new);
        let mut back = changed(&new, &old);
        back.sort();
        assert_eq!(
            {
                let mut sorted = paths.clone();
                sorted.sort();
                sorted
            },
            back,
            "seen from either side"
        );
        paths
    }

    #[test]
    fn it_stops_when_it_was_enough() {
        let repository = Repository::new();
        let (old, new) = (repository.first(), repository.commit("rm -r docs lib main.py; echo 1 > z"));
        let mut asked = Vec::new();
        let mut enough = |path: &str| {
            asked.push(path.to_owned());
            path == "docs/deep/b.md"
        };
        changed_paths(&old, &new, &mut enough).unwrap();
        assert_eq!(asked, ["docs/a.md", "docs/deep/b.md"]);
    }

    #[test]
    fn equal_folders_are_not_read_and_a_missing_object_is_no_answer() {
        let repository = Repository::new();
        let (old, new) = (repository.first(), repository.commit("echo 2 > main.py; echo 2 > lib/c.py"));
        std::fs::remove_file(repository.object(&repository.git(&["rev-parse", "HEAD:docs"]))).unwrap();
        assert_eq!(changed(&old, &new), ["lib/c.py", "main.py"]);
        std::fs::remove_file(repository.object(&repository.git(&["rev-parse", "HEAD:lib"]))).unwrap();
        assert!(changed_paths(&old, &new, &mut |_| false).is_err());
    }
}
