//! The files of a commit, read from git's objects and never checked out.
//!
//! Folders are counted with all their entries before one of them is entered, and those that lie open at
//! the same time have [`MAX_TREE_BYTES`] together: trees that share their branches (ten names that all lead
//! to the next of nine levels are 10⁹ paths in ten objects) end at [`super::MAX_FILES`].

use std::sync::Arc;

use gix::{
    ObjectId,
    objs::{
        TreeRefIter,
        tree::{EntryKind, EntryMode, EntryRef},
    },
};

use super::{
    Found, READ_TIMEOUT, Selection, SourceError, is_safe,
    spool::{Executable, Packer},
};
use crate::objects::{Deadline, Kind, MAX_TREE_BYTES, ObjectError, Store};

/// Trees nested deeper than this are an attack on whoever walks them.
pub(super) const MAX_DEPTH: usize = 100;
/// Where a link leads, in bytes: what Linux takes.
const MAX_LINK_BYTES: u64 = 4095;

/// Files of one commit.
#[derive(Debug, Clone)]
pub struct CommitFiles {
    pub(super) store: Arc<Store>,
    pub(super) tree: ObjectId,
}

/// A folder's entries, as they are kept.
pub(super) struct Folder {
    bytes: Vec<u8>,
}

impl Folder {
    /// Reads a folder, while `open` bytes of others are in memory.
    pub(super) fn read(
        store: &Store,
        id: &ObjectId,
        open: u64,
        deadline: &Deadline,
    ) -> Result<Self, SourceError> {
        match store.read(id, Kind::Tree, MAX_TREE_BYTES.saturating_sub(open), deadline) {
            Ok(bytes) => Ok(Self { bytes }),
            // The limit is one for all that are open.
            Err(ObjectError::Oversized { kind, .. }) => {
                Err(ObjectError::Oversized { kind, limit_bytes: MAX_TREE_BYTES }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Result<EntryRef<'_>, SourceError>> {
        TreeRefIter::from_bytes(&self.bytes, gix::hash::Kind::Sha1)
            .map(|entry| entry.map_err(|_| ObjectError::Garbled("a folder cannot be read").into()))
    }
}

impl CommitFiles {
    /// The files below `tree`, whose objects are all in `store`.
    pub(crate) fn new(store: Arc<Store>, tree: ObjectId) -> Self {
        Self { store, tree }
    }

    fn entry(&self, path: &str, deadline: &Deadline) -> Result<Option<(EntryMode, ObjectId)>, SourceError> {
        if !is_safe(path) {
            return Ok(None);
        }
        let (mut folder, mut names) = (self.tree, path.split('/').peekable());
        while let Some(name) = names.next() {
            let tree = Folder::read(&self.store, &folder, 0, deadline)?;
            let mut found = None;
            for entry in tree.entries() {
                let entry = entry?;
                if entry.filename == name {
                    found = Some((entry.mode, entry.oid.to_owned()));
                }
            }
            match found {
                Some((mode, id)) if names.peek().is_some() && mode.is_tree() => folder = id,
                Some(entry) if names.peek().is_none() => return Ok(Some(entry)),
                Some(_) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(super) fn read(&self, path: &str, max_bytes: u64) -> Result<Found, SourceError> {
        self.noting_damage(|| self.read_file(path, max_bytes))
    }

    pub(super) fn pack(&self, selection: Selection<'_>, packer: &mut Packer) -> Result<(), SourceError> {
        self.noting_damage(|| self.pack_files(selection, packer))
    }

    /// All objects were whole when they came: what is not any more is fetched again by the next attempt.
    fn noting_damage<T>(&self, act: impl FnOnce() -> Result<T, SourceError>) -> Result<T, SourceError> {
        act().inspect_err(|error| {
            if matches!(error, SourceError::Object(ObjectError::Damaged(_) | ObjectError::Missing(_))) {
                self.store.note_damage();
            }
        })
    }

    fn read_file(&self, path: &str, max_bytes: u64) -> Result<Found, SourceError> {
        let deadline = Deadline::of(READ_TIMEOUT);
        let Some((mode, id)) = self.entry(path, &deadline)? else { return Ok(Found::Absent) };
        match mode.kind() {
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let (_, size) = self.store.header(&id)?;
                if size > max_bytes {
                    return Ok(Found::TooLarge(size));
                }
                let bytes = self.store.read(&id, Kind::Blob, max_bytes, &deadline)?;
                Ok(Found::File(bytes))
            }
            EntryKind::Link | EntryKind::Commit | EntryKind::Tree => Ok(Found::NotAFile),
        }
    }

    fn pack_files(&self, selection: Selection<'_>, packer: &mut Packer) -> Result<(), SourceError> {
        let deadline = Deadline::of(READ_TIMEOUT);
        let mut walk = Walk { store: &self.store, packer, deadline: &deadline };
        match selection {
            Selection::All => walk.folder(&self.tree, "", 0, 0),
            Selection::Only(paths) => {
                for path in paths {
                    if let Some((mode, id)) = self.entry(path, &deadline)? {
                        match mode.kind() {
                            EntryKind::Blob | EntryKind::BlobExecutable => walk.file(mode, &id, path)?,
                            EntryKind::Link | EntryKind::Commit | EntryKind::Tree => {}
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

/// Packing a tree, folder by folder.
struct Walk<'a> {
    store: &'a Store,
    packer: &'a mut Packer,
    deadline: &'a Deadline,
}

impl Walk<'_> {
    /// `open` are the bytes of the folders around this one.
    fn folder(&mut self, id: &ObjectId, prefix: &str, depth: usize, open: u64) -> Result<(), SourceError> {
        if depth > MAX_DEPTH {
            return Err(SourceError::path(prefix));
        }
        let folder = Folder::read(self.store, id, open, self.deadline)?;
        self.packer.announce(folder.entries().count())?;
        let open = open + folder.len_bytes();
        for entry in folder.entries() {
            let entry = entry?;
            let name = std::str::from_utf8(entry.filename)
                .map_err(|_| SourceError::path(&entry.filename.to_string()))?;
            if name.contains('/') {
                return Err(SourceError::path(name));
            }
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            match entry.mode.kind() {
                EntryKind::Tree => {
                    self.packer.directory(&path)?;
                    self.folder(&entry.oid.to_owned(), &path, depth + 1, open)?;
                }
                // A submodule is an empty folder: its commands are never run.
                EntryKind::Commit => self.packer.directory(&path)?,
                EntryKind::Link => self.link(&entry.oid.to_owned(), &path)?,
                EntryKind::Blob | EntryKind::BlobExecutable => {
                    self.file(entry.mode, &entry.oid.to_owned(), &path)?;
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, id: &ObjectId, path: &str) -> Result<(), SourceError> {
        let target = match self.store.read(id, Kind::Blob, MAX_LINK_BYTES, self.deadline) {
            Err(ObjectError::Oversized { .. }) => return Err(SourceError::path(path)),
            read => read?,
        };
        self.packer.link(path, &target)
    }

    fn file(&mut self, mode: EntryMode, id: &ObjectId, path: &str) -> Result<(), SourceError> {
        let executable =
            if mode.kind() == EntryKind::BlobExecutable { Executable::Yes } else { Executable::No };
        let packer = &mut *self.packer;
        self.store.with(id, self.deadline, &mut |_, size, bytes| {
            packer.expect(size)?;
            packer.file(path, executable, size, bytes)
        })
    }
}
