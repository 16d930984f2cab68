//! Deltas: an object told as copies from another one and what is new.

use std::io::{BufRead, Read, Write};

use super::{Deadline, ObjectError, content::Content};

/// After this many instructions the clock is looked at.
const LOOK_EVERY: u32 = 4096;

/// The sizes that stand at the beginning of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) base: u64,
    pub(super) result: u64,
}

fn damaged<T>(what: &'static str) -> Result<T, ObjectError> {
    Err(ObjectError::Damaged(what))
}

/// Errors of an inflated input: what is no zlib stream is damaged, the rest is our disk's.
pub(super) fn broken(error: std::io::Error) -> ObjectError {
    let error = match error.downcast::<ObjectError>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    match error.kind() {
        std::io::ErrorKind::InvalidData => ObjectError::Damaged("an object cannot be inflated"),
        std::io::ErrorKind::UnexpectedEof => ObjectError::Damaged("an object ends too early"),
        _ => ObjectError::Io(error),
    }
}

fn byte(input: &mut (impl Read + ?Sized)) -> Result<u8, ObjectError> {
    let mut one = [0];
    input.read_exact(&mut one).map_err(broken)?;
    Ok(one[0])
}

fn size(input: &mut (impl Read + ?Sized)) -> Result<u64, ObjectError> {
    let (mut size, mut shift) = (0, 0);
    loop {
        let next = byte(input)?;
        if shift > 56 {
            return damaged("a delta claims an impossible size");
        }
        size |= u64::from(next & 0x7f) << shift;
        shift += 7;
        if next & 0x80 == 0 {
            return Ok(size);
        }
    }
}

/// Reads the beginning of a delta.
pub(super) fn sizes(input: &mut (impl Read + ?Sized)) -> Result<Sizes, ObjectError> {
    Ok(Sizes { base: size(input)?, result: size(input)? })
}

/// Follows the instructions behind [`sizes`], and writes no more than the claimed size.
pub(super) fn apply(
    base: &Content,
    claimed: Sizes,
    input: &mut impl BufRead,
    out: &mut impl Write,
    deadline: &Deadline,
) -> Result<(), ObjectError> {
    if base.len() != claimed.base {
        return damaged("a delta is made for another object");
    }
    let (mut left, mut instructions) = (claimed.result, 0_u32);
    while !input.fill_buf().map_err(broken)?.is_empty() {
        instructions = instructions.wrapping_add(1);
        if instructions.is_multiple_of(LOOK_EVERY) {
            deadline.check()?;
        }
        let instruction = byte(input)?;
        let len = match instruction {
            0 => return damaged("a delta has an unknown instruction"),
            1..0x80 => u64::from(instruction),
            0x80.. => {
                let mut number = |bits: std::ops::Range<u8>| -> Result<u64, ObjectError> {
                    bits.clone()
                        .filter(|bit| instruction & 1 << bit != 0)
                        .try_fold(0, |sum, bit| Ok(sum | u64::from(byte(input)?) << (8 * (bit - bits.start))))
                };
                let offset = number(0..4)?;
                let len = match number(4..7)? {
                    0 => 0x10000,
                    len => len,
                };
                if len > left || offset + len > base.len() {
                    return damaged("a delta copies from beyond its base");
                }
                base.copy(offset, len, out)?;
                left -= len;
                continue;
            }
        };
        if len > left {
            return damaged("a delta makes more than it claims");
        }
        let mut new = [0; 127];
        let new = &mut new[..usize::from(instruction)];
        input.read_exact(new).map_err(broken)?;
        out.write_all(new)?;
        left -= len;
    }
    if left == 0 { Ok(()) } else { damaged("a delta makes less than it claims") }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    fn made(delta: &[u8]) -> Result<Vec<u8>, String> {
        let base = Content::Memory(Arc::new(b"0123456789".to_vec()));
        let (mut input, mut out) = (delta, Vec::new());
        let mut make = || {
            let claimed = sizes(&mut input)?;
            apply(&base, claimed, &mut input, &mut out, &Deadline::of(Duration::from_secs(60)))
        };
        make().map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test_case(&[10, 5, 0x91, 2, 3, 2, b'a', b'b'] => Ok(b"234ab".to_vec()) ; "a copy and something new")]
    #[test_case(&[10, 3, 0x90, 3] => Ok(b"012".to_vec()) ; "a copy from the beginning")]
    #[test_case(&[9, 3, 0x90, 3] => Err("the repository is damaged: a delta is made for another object".to_owned()) ; "another base")]
    #[test_case(&[10, 11, 0x90, 11] => Err("the repository is damaged: a delta copies from beyond its base".to_owned()) ; "beyond the base")]
    #[test_case(&[10, 1, 2, b'a', b'b'] => Err("the repository is damaged: a delta makes more than it claims".to_owned()) ; "more than claimed")]
    #[test_case(&[10, 0x80, 0x80, 0x80, 0x80, 0x40, 0x90, 3] => Err("the repository is damaged: a delta makes less than it claims".to_owned()) ; "16 GiB claimed")]
    #[test_case(&[10, 3, 0] => Err("the repository is damaged: a delta has an unknown instruction".to_owned()) ; "unknown")]
    #[test_case(&[10, 3, 0x90] => Err("the repository is damaged: an object ends too early".to_owned()) ; "cut off")]
    fn deltas(delta: &[u8]) -> Result<Vec<u8>, String> {
        made(delta)
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(delta in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(out) = made(&delta) {
                prop_assert!(!out.is_empty() || delta.len() == 2);
            }
        }
    }
}
