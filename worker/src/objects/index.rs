//! The index of a pack (git's version 2): which object begins where. Read by position, never mapped.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    path::Path,
};

use gix::ObjectId;

use super::receive::HashingWriter;

const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const FANOUT_BYTES: usize = 256 * 4;
const ID_BYTES: usize = 20;
/// So few names are read at once rather than one by one, in names.
const AT_ONCE: u64 = 64;
/// An offset with this bit stands in the second table.
const LARGE: u32 = 1 << 31;

/// One object of a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexEntry {
    pub(super) id: ObjectId,
    pub(super) crc: u32,
    pub(super) offset: u64,
}

/// Writes the index of a pack with this checksum.
pub(super) fn write(file: &File, objects: &mut [IndexEntry], pack: ObjectId) -> io::Result<()> {
    objects.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(a.offset.cmp(&b.offset)));
    let mut out = HashingWriter::new(io::BufWriter::new(file));
    out.write_all(&MAGIC)?;
    let mut below = 0_u32;
    let mut rest = objects.iter().peekable();
    for first in 0..=u8::MAX {
        while rest.next_if(|object| object.id.as_slice()[0] == first).is_some() {
            below += 1;
        }
        out.write_all(&below.to_be_bytes())?;
    }
    for object in objects.iter() {
        out.write_all(object.id.as_slice())?;
    }
    for object in objects.iter() {
        out.write_all(&object.crc.to_be_bytes())?;
    }
    let mut large = Vec::new();
    for object in objects.iter() {
        let offset = match u32::try_from(object.offset) {
            Ok(offset) if offset < LARGE => offset,
            Ok(_) | Err(_) => {
                large.push(object.offset);
                LARGE | u32::try_from(large.len() - 1).map_err(io::Error::other)?
            }
        };
        out.write_all(&offset.to_be_bytes())?;
    }
    for offset in large {
        out.write_all(&offset.to_be_bytes())?;
    }
    out.write_all(pack.as_slice())?;
    let (mut out, own) = out.finish()?;
    out.write_all(own.as_slice())?;
    out.flush()
}

/// An index that is there.
#[derive(Debug)]
pub(super) struct Index {
    file: File,
    fanout: Box<[u32; 256]>,
}

impl Index {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; MAGIC.len() + FANOUT_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let (magic, table) = head.split_at(MAGIC.len());
        let mut fanout = Box::new([0; 256]);
        for (slot, bytes) in fanout.iter_mut().zip(table.chunks_exact(4)) {
            *slot = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        }
        if magic != MAGIC || !fanout.is_sorted() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { file, fanout })
    }

    fn count(&self) -> u64 {
        u64::from(self.fanout[255])
    }

    fn names_at(position: u64) -> u64 {
        (MAGIC.len() + FANOUT_BYTES) as u64 + position * ID_BYTES as u64
    }

    /// Where the object begins in the pack.
    pub(super) fn find(&self, id: &ObjectId) -> io::Result<Option<u64>> {
        let first = usize::from(id.as_slice()[0]);
        let mut low = if first == 0 { 0 } else { u64::from(self.fanout[first - 1]) };
        let mut high = u64::from(self.fanout[first]);
        let mut name = [0; ID_BYTES];
        while high - low > AT_ONCE {
            let middle = low + (high - low) / 2;
            self.file.read_exact_at(&mut name, Self::names_at(middle))?;
            if name.as_slice() < id.as_slice() {
                low = middle + 1;
            } else {
                high = middle + 1;
            }
        }
        let mut names = [0; ID_BYTES * AT_ONCE as usize];
        let names = &mut names[..ID_BYTES * usize::try_from(high - low).unwrap_or(0)];
        self.file.read_exact_at(names, Self::names_at(low))?;
        let found = names.chunks_exact(ID_BYTES).position(|name| name == id.as_slice());
        found.map(|place| self.offset(low + place as u64)).transpose()
    }

    fn offset(&self, position: u64) -> io::Result<u64> {
        let offsets = Self::names_at(self.count()) + self.count() * 4;
        let mut short = [0; 4];
        self.file.read_exact_at(&mut short, offsets + position * 4)?;
        let short = u32::from_be_bytes(short);
        if short & LARGE == 0 {
            return Ok(short.into());
        }
        let mut long = [0; 8];
        self.file.read_exact_at(&mut long, offsets + self.count() * 4 + u64::from(short & !LARGE) * 8)?;
        Ok(u64::from_be_bytes(long))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn id(n: u64) -> ObjectId {
        ObjectId::from_bytes_or_panic(&Sha256::digest(n.to_be_bytes())[..20])
    }

    #[test]
    fn every_object_is_found_again_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.idx");
        for count in [0, 1, 300, 40_000] {
            // Every third lies beyond what 31 bits can tell.
            let offset = |n: u64| if n.is_multiple_of(3) { n << 33 } else { n };
            let mut objects: Vec<_> =
                (0..count).map(|n| IndexEntry { id: id(n), crc: 0, offset: offset(n) }).collect();
            write(&File::create(&path).unwrap(), &mut objects, id(0)).unwrap();
            let index = Index::open(&path).unwrap();
            for n in 0..count {
                assert_eq!(index.find(&id(n)).unwrap(), Some(offset(n)));
            }
            assert_eq!(index.find(&id(count)).unwrap(), None);
            assert_eq!(index.find(&ObjectId::null(gix::hash::Kind::Sha1)).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.idx");
        std::fs::write(&path, [7; 2000]).unwrap();
        assert!(Index::open(&path).is_err());
        std::fs::write(&path, []).unwrap();
        assert!(Index::open(&path).is_err());
    }
}
