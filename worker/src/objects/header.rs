//! What stands before an object in a pack: its kind, its claimed size, and of a delta its base.

use std::{fmt, io::BufRead};

use gix::ObjectId;

use super::ObjectError;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// The word that is hashed with an object.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    pub(super) fn of_word(word: &[u8]) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag]
            .into_iter()
            .find(|kind| kind.word().as_bytes() == word)
    }

    /// How large one may be that is held in memory as a whole; of a file only its own limit counts.
    pub(super) fn check(self, size: u64) -> Result<(), ObjectError> {
        let limit_bytes = match self {
            Self::Commit | Self::Tag => super::MAX_COMMIT_BYTES,
            Self::Tree => super::MAX_TREE_BYTES,
            Self::Blob => return Ok(()),
        };
        if size > limit_bytes { Err(ObjectError::Oversized { kind: self, limit_bytes }) } else { Ok(()) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Tree => "folder",
            Self::Blob => "file",
            Self::Tag => "tag",
        })
    }
}

/// How an object is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// By itself.
    Whole(Kind),
    /// As a delta on the object at this offset of the same pack.
    OffsetDelta(u64),
    /// As a delta on the object of this id.
    RefDelta(ObjectId),
}

/// What stands before the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) form: Encoding,
    /// Of the object, or of its delta, once inflated: as it claims.
    pub(super) size: u64,
}

fn byte(input: &mut impl BufRead) -> std::io::Result<u8> {
    let mut one = [0];
    input.read_exact(&mut one)?;
    Ok(one[0])
}

/// Reads the header of the object at `offset`. Errors of `input` are given as they are.
pub(super) fn read(input: &mut impl BufRead, offset: u64) -> std::io::Result<Result<Header, ObjectError>> {
    let garbled = |what| Ok(Err(ObjectError::Damaged(what)));
    let mut next = byte(input)?;
    let kind = next >> 4 & 0b111;
    let (mut size, mut shift) = (u64::from(next & 0b1111), 4);
    while next & 0x80 != 0 {
        next = byte(input)?;
        if shift > 53 {
            return garbled("an object claims an impossible size");
        }
        size |= u64::from(next & 0x7f) << shift;
        shift += 7;
    }
    let form = match kind {
        1 => Encoding::Whole(Kind::Commit),
        2 => Encoding::Whole(Kind::Tree),
        3 => Encoding::Whole(Kind::Blob),
        4 => Encoding::Whole(Kind::Tag),
        6 => {
            let mut next = byte(input)?;
            let mut back = u64::from(next & 0x7f);
            while next & 0x80 != 0 {
                next = byte(input)?;
                if back > u64::MAX >> 9 {
                    return garbled("a delta's base is out of reach");
                }
                back = (back + 1) << 7 | u64::from(next & 0x7f);
            }
            match offset.checked_sub(back) {
                Some(base) if back > 0 => Encoding::OffsetDelta(base),
                Some(_) | None => return garbled("a delta's base is out of reach"),
            }
        }
        7 => {
            let mut id = [0; 20];
            input.read_exact(&mut id)?;
            Encoding::RefDelta(ObjectId::from(id))
        }
        _ => return garbled("an object of an unknown kind"),
    };
    Ok(Ok(Header { form, size }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case(&[0x35], 0 => Some((Encoding::Whole(Kind::Blob), 5)) ; "small")]
    #[test_case(&[0xb5, 0x02], 0 => Some((Encoding::Whole(Kind::Blob), 37)) ; "two bytes of size")]
    #[test_case(&[0xe1, 0x01, 0x0c], 100 => Some((Encoding::OffsetDelta(88), 17)) ; "a delta")]
    #[test_case(&[0x61, 0x0c], 5 => None ; "a base before the beginning")]
    #[test_case(&[0x61, 0x00], 5 => None ; "its own base")]
    #[test_case(&[0x51], 0 => None ; "a kind that is none")]
    #[test_case(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 0 => None ; "a size beyond everything")]
    fn headers(mut bytes: &[u8], offset: u64) -> Option<(Encoding, u64)> {
        read(&mut bytes, offset).unwrap().ok().map(|header| (header.form, header.size))
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), offset: u64) {
            let _ = read(&mut bytes.as_slice(), offset);
        }
    }
}
