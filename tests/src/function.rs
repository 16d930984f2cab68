//! The files of a small function that a test pushes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

/// The manifest's name.
pub const MANIFEST: &str = "faas-manifest.json";

/// Something in a tree.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    File(Vec<u8>),
    Symlink(String),
}

/// The files of a commit.
#[derive(Debug, Clone, Default)]
pub struct Function {
    manifest: Option<Map<String, Value>>,
    nodes: BTreeMap<PathBuf, Node>,
}

impl Function {
    /// A program in python without requirements: the quickest to run.
    pub fn python(program: &str) -> Self {
        let manifest = json!({ "language": "python", "mainFile": "main.py" });
        Self { manifest: manifest.as_object().cloned(), nodes: BTreeMap::new() }.file("main.py", program)
    }

    /// One of `tests/samples/`.
    pub fn sample(name: &str) -> Self {
        let mut function = Self::default();
        let folder = crate::config::root().join("tests/samples").join(name);
        function.take(&folder, Path::new(""));
        assert!(!function.nodes.is_empty(), "there is no sample {name}");
        function
    }

    fn take(&mut self, folder: &Path, inside: &Path) {
        for entry in std::fs::read_dir(folder).expect("a sample is a folder") {
            let entry = entry.expect("a sample can be read");
            let path = inside.join(entry.file_name());
            if entry.path().is_dir() {
                self.take(&entry.path(), &path);
            } else {
                let bytes = std::fs::read(entry.path()).expect("a sample can be read");
                self.nodes.insert(path, Node::File(bytes));
            }
        }
    }

    /// A field of the manifest.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.manifest.get_or_insert_default().insert(field.to_owned(), value.into());
        self
    }

    /// A further file.
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.nodes.insert(path.into(), Node::File(bytes.into()));
        self
    }

    /// A symlink.
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.nodes.insert(path.into(), Node::Symlink(target.to_owned()));
        self
    }

    /// These bytes as manifest, whatever they are.
    pub fn manifest(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.without_manifest().file(MANIFEST, bytes)
    }

    /// No manifest, or one that is put there as a file or symlink.
    pub fn without_manifest(mut self) -> Self {
        self.manifest = None;
        self
    }

    pub(crate) fn nodes(&self) -> BTreeMap<PathBuf, Node> {
        let mut nodes = self.nodes.clone();
        if let Some(manifest) = &self.manifest {
            let bytes = serde_json::to_vec_pretty(manifest).expect("a map is JSON");
            nodes.insert(MANIFEST.into(), Node::File(bytes));
        }
        nodes
    }
}
