//! The bytes of one object: in memory while they are few, else in a temporary file.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

/// Objects up to this size are held in memory; nearly all of a source tree are smaller.
pub(super) const IN_MEMORY_BYTES: u64 = 1 << 20;
/// How much of a file is copied at a time.
const PIECE_BYTES: usize = 32 << 10;

/// The bytes of one object. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>, u64),
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// Writes `len` bytes from `offset` on, which lie within.
    pub(super) fn copy(&self, offset: u64, len: u64, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let place = usize::try_from(offset).ok().zip(usize::try_from(offset + len).ok());
                let piece = place.and_then(|(from, to)| bytes.get(from..to));
                out.write_all(piece.ok_or(io::ErrorKind::UnexpectedEof)?)
            }
            Self::File(file, _) => {
                let (mut at, end) = (offset, offset + len);
                let mut piece = [0; PIECE_BYTES];
                while at < end {
                    let wanted = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                    file.read_exact_at(&mut piece[..wanted], at)?;
                    out.write_all(&piece[..wanted])?;
                    at += wanted as u64;
                }
                Ok(())
            }
        }
    }
}

impl Content {
    /// Its bytes from the beginning.
    pub(super) fn reader(&self) -> impl io::Read {
        Reader { content: self, at: 0 }
    }
}

struct Reader<'a> {
    content: &'a Content,
    at: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, mut out: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len() - self.at;
        let len = left.min(out.len() as u64);
        self.content.copy(self.at, len, &mut out)?;
        self.at += len;
        Ok(usize::try_from(len).unwrap_or(0))
    }
}

/// Takes the bytes of one object whose size is known.
#[derive(Debug)]
pub(super) enum Writer {
    Memory(Vec<u8>),
    File(io::BufWriter<File>, u64),
}

impl Writer {
    /// For an object of `size` bytes; a file, if it takes one, is made in `folder` and has no name.
    pub(super) fn new(size: u64, folder: &Path) -> io::Result<Self> {
        if size <= IN_MEMORY_BYTES {
            return Ok(Self::Memory(Vec::with_capacity(usize::try_from(size).unwrap_or(0))));
        }
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self::File(io::BufWriter::with_capacity(PIECE_BYTES, file), 0))
    }

    pub(super) fn finish(self) -> io::Result<Content> {
        Ok(match self {
            Self::Memory(bytes) => Content::Memory(Arc::new(bytes)),
            Self::File(writer, len) => {
                Content::File(Arc::new(writer.into_inner().map_err(io::IntoInnerError::into_error)?), len)
            }
        })
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.extend_from_slice(bytes),
            Self::File(writer, len) => {
                writer.write_all(bytes)?;
                *len += bytes.len() as u64;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
