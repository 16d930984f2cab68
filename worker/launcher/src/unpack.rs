//! Puts the tree into its place: the tar, then the links.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::cgroup;
use launcher::Link;

/// Why the files are not in place.
pub(crate) struct NotUnpacked {
    pub(crate) sentence: String,
    pub(crate) disk_full: bool,
}

impl NotUnpacked {
    /// The worker stopped sending; it is gone, so nobody reads this.
    pub(crate) fn broken_off(error: io::Error) -> Self {
        Self { sentence: format!("the worker sent no more: {error}"), disk_full: false }
    }
}

/// Unpacks a tar of exactly `length` bytes below `dir`, and reads it to its end in any case.
pub(crate) fn unpack(input: &mut impl Read, length: u64, dir: &Path) -> Result<(), NotUnpacked> {
    let mut tar = input.take(length);
    let mut archive = tar::Archive::new(&mut tar);
    archive.set_preserve_mtime(false);
    archive.set_overwrite(true);
    let unpacked = archive.unpack(dir);
    let drained = io::copy(&mut tar, &mut io::sink());
    unpacked.and(drained.map(drop)).map_err(|error| {
        let disk_full = cgroup::is_full(dir);
        let sentence = if disk_full {
            format!("the files do not fit into {}", dir.display())
        } else {
            format!("the files cannot be put into {}: {}", dir.display(), with_source(&error))
        };
        NotUnpacked { sentence, disk_full }
    })
}

/// The tar library keeps the reason in its error's source.
fn with_source(error: &io::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Makes each link whose target is there and whose place is free.
pub(crate) fn link(links: &[Link]) -> io::Result<()> {
    for Link { path, target } in links {
        if target.exists() && fs::symlink_metadata(path).is_err() {
            std::os::unix::fs::symlink(target, path)?;
        }
    }
    Ok(())
}
