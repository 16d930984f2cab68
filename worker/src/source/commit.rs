//! The files of a commit, read from git's objects and never checked out.

use std::sync::Arc;

use gix::{
    ObjectId, ThreadSafeRepository,
    objs::tree::{EntryKind, EntryMode},
};

use super::{
    Found, Selection, SourceError, is_safe,
    spool::{Executable, Packer},
};

/// Trees nested deeper than this are an attack on whoever walks them.
const MAX_DEPTH: usize = 100;

/// Files of one commit.
#[derive(Debug, Clone)]
pub struct CommitFiles {
    repository: Arc<ThreadSafeRepository>,
    tree: ObjectId,
}

fn broken(error: impl std::fmt::Display) -> SourceError {
    SourceError::Object(error.to_string())
}

impl CommitFiles {
    /// The files of `commit`, whose objects are all in `repository`. An annotated tag is followed to
    /// its commit.
    ///
    /// # Errors
    /// It is not a commit.
    pub fn new(repository: Arc<ThreadSafeRepository>, commit: ObjectId) -> Result<Self, SourceError> {
        let local = repository.to_thread_local();
        let object = local.find_object(commit).map_err(broken)?;
        let tree = object.peel_to_kind(gix::object::Kind::Tree).map_err(broken)?.id;
        Ok(Self { repository, tree })
    }

    fn entry(
        &self,
        local: &gix::Repository,
        path: &str,
    ) -> Result<Option<(EntryMode, ObjectId)>, SourceError> {
        if !is_safe(path) {
            return Ok(None);
        }
        let tree = local.find_tree(self.tree).map_err(broken)?;
        let entry = tree.lookup_entry(path.split('/')).map_err(broken)?;
        Ok(entry.map(|entry| (entry.mode(), entry.object_id())))
    }

    pub(super) fn read(&self, path: &str, max_bytes: u64) -> Result<Found, SourceError> {
        let local = self.repository.to_thread_local();
        let Some((mode, id)) = self.entry(&local, path)? else { return Ok(Found::Absent) };
        match mode.kind() {
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let size = local.find_header(id).map_err(broken)?.size();
                if size > max_bytes {
                    return Ok(Found::TooLarge(size));
                }
                Ok(Found::File(local.find_object(id).map_err(broken)?.data.clone()))
            }
            EntryKind::Link | EntryKind::Commit | EntryKind::Tree => Ok(Found::NotAFile),
        }
    }

    pub(super) fn pack(&self, selection: Selection<'_>, packer: &mut Packer) -> Result<(), SourceError> {
        let local = self.repository.to_thread_local();
        match selection {
            Selection::All => pack_tree(&local, self.tree, "", 0, packer),
            Selection::Only(paths) => {
                for path in paths {
                    if let Some((mode, id)) = self.entry(&local, path)? {
                        match mode.kind() {
                            EntryKind::Blob | EntryKind::BlobExecutable => {
                                pack_entry(&local, mode, id, path, 0, packer)?
                            }
                            EntryKind::Link | EntryKind::Commit | EntryKind::Tree => {}
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

fn pack_tree(
    local: &gix::Repository,
    tree: ObjectId,
    prefix: &str,
    depth: usize,
    packer: &mut Packer,
) -> Result<(), SourceError> {
    if depth > MAX_DEPTH {
        return Err(SourceError::Path { path: prefix.to_owned() });
    }
    let tree = local.find_tree(tree).map_err(broken)?;
    for entry in tree.iter() {
        let entry = entry.map_err(broken)?;
        let name = std::str::from_utf8(entry.filename())
            .map_err(|_| SourceError::Path { path: entry.filename().to_string() })?;
        if name.contains('/') {
            return Err(SourceError::Path { path: name.to_owned() });
        }
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        pack_entry(local, entry.mode(), entry.object_id(), &path, depth, packer)?;
    }
    Ok(())
}

fn pack_entry(
    local: &gix::Repository,
    mode: EntryMode,
    id: ObjectId,
    path: &str,
    depth: usize,
    packer: &mut Packer,
) -> Result<(), SourceError> {
    match mode.kind() {
        EntryKind::Tree => {
            packer.directory(path)?;
            pack_tree(local, id, path, depth + 1, packer)
        }
        // A submodule is an empty folder: its commands are never run.
        EntryKind::Commit => packer.directory(path),
        EntryKind::Link => packer.link(path, &local.find_object(id).map_err(broken)?.data),
        kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => {
            packer.expect(local.find_header(id).map_err(broken)?.size())?;
            let executable = if kind == EntryKind::BlobExecutable { Executable::Yes } else { Executable::No };
            packer.file(path, executable, &local.find_object(id).map_err(broken)?.data)
        }
    }
}

/// The paths in which two commits differ, found by comparing their trees; equal subtrees are not
/// entered. Stops early when `enough` says so.
///
/// # Errors
/// An object is missing, or the trees are nested too deeply.
pub fn changed_paths(
    old: &CommitFiles,
    new: &CommitFiles,
    enough: &mut dyn FnMut(&str) -> bool,
) -> Result<(), SourceError> {
    let local = new.repository.to_thread_local();
    compare(&local, Some(old.tree), Some(new.tree), "", 0, enough).map(|_| ())
}

type Entries = std::collections::BTreeMap<Vec<u8>, (EntryMode, ObjectId)>;

fn entries(local: &gix::Repository, tree: Option<ObjectId>) -> Result<Entries, SourceError> {
    let Some(tree) = tree else { return Ok(Entries::new()) };
    let tree = local.find_tree(tree).map_err(broken)?;
    tree.iter()
        .map(|entry| {
            entry.map(|entry| (entry.filename().to_vec(), (entry.mode(), entry.object_id()))).map_err(broken)
        })
        .collect()
}

/// Returns whether it was enough.
fn compare(
    local: &gix::Repository,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    prefix: &str,
    depth: usize,
    enough: &mut dyn FnMut(&str) -> bool,
) -> Result<bool, SourceError> {
    if old == new {
        return Ok(false);
    }
    if depth > MAX_DEPTH {
        return Err(SourceError::Path { path: prefix.to_owned() });
    }
    let (old, new) = (entries(local, old)?, entries(local, new)?);
    let names: std::collections::BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
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
        if file_changed && enough(&path) {
            return Ok(true);
        }
        if compare(local, tree_before, tree_after, &path, depth + 1, enough)? {
            return Ok(true);
        }
    }
    Ok(false)
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
