//! The folders of `runner-images/`: built in or read from disk, and the image that each one names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::runner::{Runner, RunnerError};

/// The folder as it was when this program was built.
#[derive(RustEmbed)]
#[folder = "../runner-images"]
struct BuiltIn;

/// What is in a language's folder and not in its image.
const NOT_IN_IMAGE: &str = "hello/";

/// Files by path relative to their language's folder, which sorts them bytewise.
type Folder = BTreeMap<String, Vec<u8>>;

/// The definition of every language, by folder name. `prefix` stands before `/<language>`.
pub fn load(runner_images: Option<&Path>, prefix: &str) -> Result<Vec<Runner>, RunnerError> {
    let folders = match runner_images {
        Some(path) => read(path)?,
        None => built_in(),
    };
    let languages = folders.iter().filter(|(_, files)| files.contains_key("runner.toml"));
    languages.map(|(name, files)| runner(name, files, prefix)).collect()
}

fn runner(name: &str, files: &Folder, prefix: &str) -> Result<Runner, RunnerError> {
    let wrong = |problem: &str| RunnerError::Wrong { folder: name.to_owned(), problem: problem.to_owned() };
    let text = std::str::from_utf8(&files["runner.toml"]).map_err(|_| wrong("it is not UTF-8"))?;
    let image = format!("{prefix}/{}:{}", name.to_lowercase(), hash(files));
    let runner = Runner::parse(name, text, image)?;
    if runner.language != name {
        return Err(wrong("language is not the name of its folder"));
    }
    Ok(runner)
}

/// The first 16 hex digits of SHA-256 over path, NUL, length in decimal, NUL, bytes of each file.
fn hash(files: &Folder) -> String {
    let mut digest = Sha256::new();
    for (path, bytes) in files.iter().filter(|(path, _)| !path.starts_with(NOT_IN_IMAGE)) {
        digest.update(path.as_bytes());
        digest.update(b"\0");
        digest.update(bytes.len().to_string().as_bytes());
        digest.update(b"\0");
        digest.update(bytes);
    }
    hex::encode(&digest.finalize()[..8])
}

fn built_in() -> BTreeMap<String, Folder> {
    let mut folders = BTreeMap::<String, Folder>::new();
    for path in BuiltIn::iter() {
        if let (Some((folder, rest)), Some(file)) = (path.split_once('/'), BuiltIn::get(&path)) {
            folders.entry(folder.to_owned()).or_default().insert(rest.to_owned(), file.data.into_owned());
        }
    }
    folders
}

fn read(root: &Path) -> Result<BTreeMap<String, Folder>, RunnerError> {
    let mut folders = BTreeMap::new();
    for path in entries(root)? {
        if let (true, Some(name)) = (path.is_dir(), path.file_name().and_then(|name| name.to_str())) {
            let mut files = Folder::new();
            collect(&path, "", &mut files)?;
            folders.insert(name.to_owned(), files);
        }
    }
    Ok(folders)
}

fn collect(dir: &Path, prefix: &str, files: &mut Folder) -> Result<(), RunnerError> {
    for path in entries(dir)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let relative = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{relative}/"), files)?;
        } else {
            let bytes = std::fs::read(&path)
                .map_err(|source| RunnerError::Unreadable { path: path.clone(), source })?;
            files.insert(relative, bytes);
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, RunnerError> {
    let unreadable = |source| RunnerError::Unreadable { path: dir.to_owned(), source };
    let entries = std::fs::read_dir(dir).map_err(unreadable)?;
    entries.map(|entry| Ok(entry.map_err(unreadable)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_paths_and_bytes_but_not_the_sample() {
        let files = |pairs: &[(&str, &str)]| -> Folder {
            pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let base = hash(&files(&[("Dockerfile", "FROM x"), ("runner.toml", "")]));
        assert_eq!(base.len(), 16);
        assert_eq!(base, hash(&files(&[("Dockerfile", "FROM x"), ("hello/a", "1"), ("runner.toml", "")])));
        assert_ne!(base, hash(&files(&[("Dockerfile", "FROM y"), ("runner.toml", "")])));
        assert_ne!(base, hash(&files(&[("Dockerfile2", "FROM x"), ("runner.toml", "")])));
    }

    #[test]
    fn built_in_and_on_disk_are_the_same_images() {
        let images = |runners: Vec<Runner>| runners.into_iter().map(|r| r.image).collect::<Vec<_>>();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner-images");
        let built_in = images(load(None, "gitfaas").unwrap());
        assert!(built_in.iter().any(|image| image.starts_with("gitfaas/nodejs:")));
        assert_eq!(built_in, images(load(Some(&folder), "gitfaas").unwrap()));
    }
}
