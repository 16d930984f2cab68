//! What the program reads from its standard input: a file without a name, so that a program may seek in it or leave
//! it unread, and nothing of it is found by another.
//!
//! It lies in `/tmp`, which is in memory, counts as memory there, and goes with the container.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::cgroup;
use crate::unpack::NotUnpacked;

/// Of one container, so one name is enough; it is there for a moment only.
const NAME: &str = ".gitfaas-input";

/// Reads exactly `length` bytes, and opens them for the program; of none, as many programs expect, the null device.
pub(crate) fn receive(input: &mut impl Read, length: u64, dir: &Path) -> Result<Stdio, NotUnpacked> {
    if length == 0 {
        return Ok(Stdio::null());
    }
    let mut bytes = input.take(length);
    let opened = open(&mut bytes, length, dir);
    let drained = io::copy(&mut bytes, &mut io::sink());
    opened.and_then(|file| drained.map(|_| file.into())).map_err(|error| {
        let disk_full = cgroup::is_full(dir);
        let sentence = if disk_full {
            format!("the input does not fit into {}", dir.display())
        } else {
            format!("the input cannot be put into {}: {error}", dir.display())
        };
        NotUnpacked { sentence, disk_full }
    })
}

/// The file, at its beginning, for reading alone.
fn open(bytes: &mut impl Read, length: u64, dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("{NAME}-{}", std::process::id()));
    let mut writing = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
    let reading = File::open(&path);
    fs::remove_file(&path)?;
    let written = io::copy(bytes, &mut writing)?;
    if written == length { reading } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
