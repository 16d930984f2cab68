//! Git's pkt-lines: four hexadecimal digits of length, themselves included, then the bytes.

use super::ListRefsError;

/// The longest line of the protocol, in bytes with its length.
const MAX_LINE_BYTES: usize = 65_520;

/// One line, or a special packet between lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pkt<'a> {
    /// A line, without the newline at its end.
    Line(&'a [u8]),
    /// `0000`: the end of a section.
    Flush,
    /// `0001` and `0002`: marks of version 2 that we do not need.
    Mark,
}

/// The next line and what is behind it; `None` at the end.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Pkt<'_>, &[u8])>, ListRefsError> {
    let garbled = ListRefsError::Garbled;
    if bytes.is_empty() {
        return Ok(None);
    }
    let (digits, rest) = bytes.split_at_checked(4).ok_or(garbled("it ends within a length"))?;
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(garbled("a length is not hexadecimal"));
    }
    let digits = str::from_utf8(digits).map_err(|_| garbled("a length is not hexadecimal"))?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| garbled("a length is not hexadecimal"))?;
    match length {
        0 => Ok(Some((Pkt::Flush, rest))),
        1 | 2 => Ok(Some((Pkt::Mark, rest))),
        3 => Err(garbled("a line is shorter than its length")),
        4..=MAX_LINE_BYTES => {
            let (line, rest) = rest.split_at_checked(length - 4).ok_or(garbled("it ends within a line"))?;
            Ok(Some((Pkt::Line(line.strip_suffix(b"\n").unwrap_or(line)), rest)))
        }
        _ => Err(garbled("a line is too long")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case(b"0000", Pkt::Flush, b"" ; "flush")]
    #[test_case(b"0001x", Pkt::Mark, b"x" ; "mark")]
    #[test_case(b"0004x", Pkt::Line(b""), b"x" ; "empty")]
    #[test_case(b"0006a\n0000", Pkt::Line(b"a"), b"0000" ; "newline")]
    #[test_case(b"0005a0000", Pkt::Line(b"a"), b"0000" ; "no newline")]
    fn lines(bytes: &[u8], pkt: Pkt<'_>, rest: &[u8]) {
        assert_eq!(next(bytes).unwrap(), Some((pkt, rest)));
    }

    #[test_case(b"000" ; "half a length")]
    #[test_case(b"0003" ; "shorter than itself")]
    #[test_case(b"+004" ; "a sign")]
    #[test_case(b"zzzz" ; "no digits")]
    #[test_case(b"0009ab" ; "cut off")]
    #[test_case(b"fff1" ; "too long")]
    fn nonsense(bytes: &[u8]) {
        assert!(matches!(next(bytes), Err(ListRefsError::Garbled(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_it_always_gets_on(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, rest))) = next(&bytes) {
                prop_assert!(rest.len() < bytes.len());
            }
        }
    }
}
