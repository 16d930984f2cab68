//! A pack on its way in: inspected while it is written to disk, and nothing of it kept in memory but
//! where its objects are.
//!
//! What an object claims is judged before it is inflated, and what is inflated must be what was claimed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    sync::Arc,
};

use gix::{ObjectId, hash::Hasher, zlib::Decompress};

use super::{
    Deadline, Kind, MAX_OBJECTS, ObjectError, delta,
    header::{self, Encoding},
    index,
    inflate::Inflate,
    resolve::{Received, resolve},
    store::Store,
};

/// How much more than its files a commit may have in folders and in itself, in bytes. The limit of the files
/// is held exactly when they are packed.
const BESIDE_FILES_BYTES: u64 = super::MAX_TREE_BYTES;
/// How much is inflated at a time, in bytes.
const PIECE_BYTES: usize = 32 << 10;
/// Of the beginning of a file that is received; an interrupted fetch may leave one.
const TEMPORARY: &str = "tmp_";

/// What a pack may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes as they are sent, and of all objects together once they are inflated.
    pub(crate) bytes: u64,
}

/// Receives a pack into the mirror whose objects `store` has, and indexes it.
pub(crate) fn receive(
    input: &mut dyn BufRead,
    mut store: Store,
    limits: Limits,
    deadline: &Deadline,
) -> Result<(), ObjectError> {
    let folder = store.objects.join("pack");
    remove_left_over(&folder)?;
    let mut pack = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&folder)?;
    let (mut received, checksum) = inspect(input, pack.as_file_mut(), limits, deadline)?;
    if received.entries.is_empty() {
        return Ok(());
    }
    resolve(&mut store, Arc::new(pack.reopen()?), &mut received, deadline)?;
    let mut listed = received.listed()?;
    drop((received, store));
    let list = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&folder)?;
    index::write(list.as_file(), &mut listed, checksum)?;
    let name = folder.join(format!("pack-{}", checksum.to_hex()));
    // The index comes last: whoever finds it finds its pack.
    pack.persist(name.with_extension("pack")).map_err(|error| error.error)?;
    list.persist(name.with_extension("idx")).map_err(|error| error.error)?;
    Ok(())
}

fn remove_left_over(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn inspect(
    input: &mut dyn BufRead,
    file: &mut File,
    limits: Limits,
    deadline: &Deadline,
) -> Result<(Received, ObjectId), ObjectError> {
    let mut tee = Tee::new(input, file, limits.bytes);
    let read = Inspection { received: Received::default(), expanded: 0, limits, deadline }.all(&mut tee);
    match (read, tee.failed) {
        (_, Some(Failed::TooLarge)) => Err(ObjectError::TooLarge { limit_bytes: limits.bytes }),
        (_, Some(Failed::Disk(error))) => Err(error.into()),
        (read, None) => {
            let done = read?;
            tee.file.flush()?;
            Ok(done)
        }
    }
}

struct Inspection<'a> {
    received: Received,
    expanded: u64,
    limits: Limits,
    deadline: &'a Deadline,
}

impl Inspection<'_> {
    fn all(mut self, tee: &mut Tee<'_>) -> Result<(Received, ObjectId), ObjectError> {
        let mut head = [0; 12];
        tee.read_exact(&mut head).map_err(ObjectError::Incoming)?;
        let (word, rest) = head.split_at(4);
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let (version, count) = (number(&rest[..4]), number(&rest[4..]));
        if word != b"PACK" || !matches!(version, 2 | 3) {
            return Err(ObjectError::Damaged("what was sent is no pack"));
        }
        if count > MAX_OBJECTS {
            return Err(ObjectError::TooMany);
        }
        let mut state = Decompress::new();
        for _ in 0..count {
            self.deadline.check()?;
            self.one(tee, &mut state)?;
        }
        let made = std::mem::replace(&mut tee.hash, gix::hash::hasher(gix::hash::Kind::Sha1));
        let made = made.try_finalize().map_err(|_| ObjectError::Damaged("it attacks SHA-1"))?;
        let mut claimed = [0; 20];
        tee.read_exact(&mut claimed).map_err(ObjectError::Incoming)?;
        if made.as_slice() != claimed {
            return Err(ObjectError::Incoming(io::ErrorKind::InvalidData.into()));
        }
        Ok((self.received, made))
    }

    /// Counts what is to be inflated, before it is.
    fn expand(&mut self, bytes: u64) -> Result<(), ObjectError> {
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded > self.limits.bytes.saturating_add(BESIDE_FILES_BYTES) {
            return Err(ObjectError::TooLarge { limit_bytes: self.limits.bytes });
        }
        Ok(())
    }

    fn one(&mut self, tee: &mut Tee<'_>, state: &mut Decompress) -> Result<(), ObjectError> {
        let offset = tee.offset;
        tee.crc = crc32fast::Hasher::new();
        let header = header::read(tee, offset).map_err(ObjectError::Incoming)??;
        self.expand(header.size)?;
        let mut bytes = BufReader::with_capacity(PIECE_BYTES, Inflate::new(&mut *tee, state));
        let id = match header.form {
            Encoding::Whole(kind) => {
                kind.check(header.size)?;
                let mut id = IdHasher::new(kind, header.size);
                measure(&mut bytes, header.size, &mut id)?;
                Some(id.finish()?)
            }
            Encoding::OffsetDelta(_) | Encoding::RefDelta(_) => {
                let mut counted = (&mut bytes).take(header.size);
                let sizes = delta::sizes(&mut counted).map_err(incoming)?;
                let left = counted.limit();
                self.expand(sizes.result)?;
                measure(&mut bytes, left, &mut io::sink())?;
                None
            }
        };
        drop(bytes);
        let crc = std::mem::take(&mut tee.crc).finalize();
        self.received.add(offset, crc, header.form, id)
    }
}

/// What the sender broke off; what cannot be inflated is another matter.
fn incoming(error: ObjectError) -> ObjectError {
    match error {
        ObjectError::Damaged("an object ends too early") => {
            ObjectError::Incoming(io::ErrorKind::UnexpectedEof.into())
        }
        ObjectError::Io(error) => ObjectError::Incoming(error),
        other => other,
    }
}

fn measure(bytes: &mut impl BufRead, size: u64, out: &mut impl Write) -> Result<(), ObjectError> {
    let mut left = size;
    loop {
        let piece = bytes.fill_buf().map_err(|error| incoming(delta::broken(error)))?;
        if piece.is_empty() {
            break;
        }
        let read = piece.len();
        left = left
            .checked_sub(read as u64)
            .ok_or(ObjectError::Damaged("an object is larger than it claims"))?;
        out.write_all(piece)?;
        bytes.consume(read);
    }
    if left == 0 { Ok(()) } else { Err(ObjectError::Damaged("an object is smaller than it claims")) }
}

/// Why bytes that came in did not reach the disk.
#[derive(Debug)]
enum Failed {
    TooLarge,
    Disk(io::Error),
}

/// What is read from the server, written to disk and hashed as it is consumed.
struct Tee<'a> {
    input: &'a mut dyn BufRead,
    file: io::BufWriter<&'a mut File>,
    hash: Hasher,
    crc: crc32fast::Hasher,
    offset: u64,
    limit_bytes: u64,
    failed: Option<Failed>,
}

impl<'a> Tee<'a> {
    fn new(input: &'a mut dyn BufRead, file: &'a mut File, limit_bytes: u64) -> Self {
        Self {
            input,
            file: io::BufWriter::with_capacity(PIECE_BYTES, file),
            hash: gix::hash::hasher(gix::hash::Kind::Sha1),
            crc: crc32fast::Hasher::new(),
            offset: 0,
            limit_bytes,
            failed: None,
        }
    }

    fn write(&mut self, consumed: usize) -> Result<(), Failed> {
        // The same bytes again: nothing was consumed since they were given out.
        let bytes = self.input.fill_buf().map_err(Failed::Disk)?;
        let bytes = bytes.get(..consumed).ok_or_else(|| Failed::Disk(io::ErrorKind::UnexpectedEof.into()))?;
        self.hash.update(bytes);
        self.crc.update(bytes);
        self.offset += consumed as u64;
        if self.offset > self.limit_bytes {
            return Err(Failed::TooLarge);
        }
        self.file.write_all(bytes).map_err(Failed::Disk)
    }
}

impl BufRead for Tee<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.failed.is_some() {
            return Err(io::Error::other("it is not read further"));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0 && self.failed.is_none() {
            self.failed = self.write(amount).err();
            self.input.consume(amount);
        }
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let read = bytes.len().min(out.len());
        out[..read].copy_from_slice(&bytes[..read]);
        self.consume(read);
        Ok(read)
    }
}

/// Names an object: its bytes behind its kind and size, hashed.
pub(super) struct IdHasher(Hasher);

impl IdHasher {
    pub(super) fn new(kind: Kind, size: u64) -> Self {
        let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
        hash.update(format!("{} {size}\0", kind.word()).as_bytes());
        Self(hash)
    }

    pub(super) fn finish(self) -> Result<ObjectId, ObjectError> {
        self.0.try_finalize().map_err(|_| ObjectError::Damaged("it attacks SHA-1"))
    }
}

impl Write for IdHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what it passes on.
pub(super) struct HashingWriter<W> {
    out: W,
    hash: Hasher,
}

impl<W: Write> HashingWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, hash: gix::hash::hasher(gix::hash::Kind::Sha1) }
    }

    pub(super) fn finish(self) -> io::Result<(W, ObjectId)> {
        Ok((self.out, self.hash.try_finalize().map_err(|_| io::ErrorKind::InvalidData)?))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
