//! One pack on disk, read by position.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use gix::{ObjectId, zlib::Decompress};

use super::{
    ObjectError,
    delta::broken,
    header::{self, Header},
    index::Index,
    inflate::Inflate,
    store::Location,
};

/// How much of a pack is read at once: most objects are smaller.
const READ_BYTES: usize = 8 << 10;

/// A pack; the one that is being received has no index yet.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) file: Arc<File>,
    pub(super) index: Option<Index>,
    /// What deltas on an id are made from, where that was found out already: by their offset.
    pub(super) bases: HashMap<u64, Location>,
}

/// A file from a position on.
struct FileReader<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Pack {
    pub(super) fn find(&self, id: &ObjectId) -> Result<Option<u64>, ObjectError> {
        Ok(self.index.as_ref().map(|index| index.find(id)).transpose()?.flatten())
    }

    /// The header of the object at `offset`, and its inflated bytes for `take`.
    pub(super) fn open<T>(
        &self,
        offset: u64,
        take: impl FnOnce(Header, &mut dyn Read) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let mut input = BufReader::with_capacity(READ_BYTES, FileReader { file: &self.file, offset });
        let header = header::read(&mut input, offset).map_err(broken)??;
        if input.fill_buf()?.is_empty() {
            return Err(ObjectError::Damaged("an object ends too early"));
        }
        let mut state = Decompress::new();
        take(header, &mut Inflate::new(input, &mut state))
    }
}
