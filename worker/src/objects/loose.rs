//! Objects in files of their own, as git leaves them before it packs.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use gix::{ObjectId, zlib::Decompress};

use super::{Kind, ObjectError, delta::broken, inflate::Inflate};

/// `commit 18446744073709551615` and its end.
const MAX_HEADER_BYTES: u64 = 32;

fn path(objects: &Path, id: &ObjectId) -> PathBuf {
    let hex = id.to_hex().to_string();
    objects.join(&hex[..2]).join(&hex[2..])
}

pub(super) fn is_there(objects: &Path, id: &ObjectId) -> bool {
    path(objects, id).is_file()
}

/// Kind and claimed size of an object, and its bytes for `take`.
pub(super) fn open<T>(
    objects: &Path,
    id: &ObjectId,
    take: impl FnOnce(Kind, u64, &mut dyn Read) -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    let file = match File::open(path(objects, id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ObjectError::Missing(*id)),
        Err(error) => return Err(error.into()),
    };
    let mut state = Decompress::new();
    let mut bytes = Inflate::new(BufReader::new(file), &mut state);
    let mut header = Vec::new();
    loop {
        let mut one = [0];
        bytes.read_exact(&mut one).map_err(broken)?;
        match one {
            [0] => break,
            [other] if (header.len() as u64) < MAX_HEADER_BYTES => header.push(other),
            _ => return Err(ObjectError::Damaged("an object does not begin as one")),
        }
    }
    let (kind, size) = read(&header).ok_or(ObjectError::Damaged("an object does not begin as one"))?;
    take(kind, size, &mut bytes)
}

fn read(header: &[u8]) -> Option<(Kind, u64)> {
    let (kind, size) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    Some((Kind::of_word(kind.as_bytes())?, size.parse().ok()?))
}
