//! The forms in which a value may appear: as it is, and as programs usually encode it.
//!
//! base64 in the middle of something else: the characters that hold bits of the value alone are
//! hidden; one character on each side may hold up to four of its bits beside a stranger's.

use std::{collections::BTreeSet, fmt::Write as _};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};

/// Shorter lines of a value are `-----`, `{`, or words that appear everywhere.
const MIN_LINE_BYTES: usize = 8;
/// Where `base64`, MIME and `openssl` break lines, in characters.
const BASE64_LINES: [usize; 2] = [76, 64];
/// What is left as it is besides letters, digits and `-._~` by: strict encoders, Python's `quote`,
/// `encodeURIComponent`, `encodeURI`.
const URL_KEPT: [&str; 4] = ["", "/", "!'()*", "!'()*;/?:@&=+$,#"];

/// All forms of a value and of its lines.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for whole in [value, value.trim()] {
        escaped(whole, &mut forms);
        base64(whole.as_bytes(), &mut forms);
        for digits in [hex::encode(whole), hex::encode_upper(whole)] {
            forms.insert(digits.into_bytes());
        }
    }
    if value.trim().contains(['\n', '\r']) {
        for line in value.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE_BYTES) {
            escaped(line, &mut forms);
        }
        // A terminal turns the one into the other.
        forms.insert(value.trim().replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
    }
    forms
}

/// As it is, in a URL and in JSON; of most values all these are the same.
fn escaped(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    forms.insert(value.as_bytes().to_vec());
    for kept in URL_KEPT {
        for case in [Case::Upper, Case::Lower] {
            forms.insert(percent(value, kept, "%20", case).into_bytes());
        }
    }
    for kept in ["", "*"] {
        for case in [Case::Upper, Case::Lower] {
            forms.insert(percent(value, kept, "+", case).into_bytes());
        }
    }
    // Go escapes what HTML would read, PHP the slash, Python and PHP all that is not ASCII.
    let html = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    let ascii = |c: char| !matches!(c, ' '..='~');
    for form in [
        json(value, &|_| false, Case::Lower),
        json(value, &html, Case::Lower),
        json(value, &ascii, Case::Lower),
        json(value, &ascii, Case::Upper),
    ] {
        forms.insert(form.replace('/', "\\/").into_bytes());
        forms.insert(form.into_bytes());
    }
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    /// So many hex digits of a number.
    fn hex(self, number: u16, digits: usize) -> String {
        match self {
            Self::Lower => format!("{number:0digits$x}"),
            Self::Upper => format!("{number:0digits$X}"),
        }
    }
}

fn percent(value: &str, kept: &str, space: &str, case: Case) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            b' ' => encoded.push_str(space),
            _ if kept.as_bytes().contains(&byte) => encoded.push(byte.into()),
            _ => _ = write!(encoded, "%{}", case.hex(byte.into(), 2)),
        }
    }
    encoded
}

/// The inside of a JSON string, with `\u` also for what `more` names.
fn json(value: &str, more: &dyn Fn(char) -> bool, case: Case) -> String {
    let mut encoded = String::new();
    for c in value.chars() {
        match c {
            '"' => encoded.push_str("\\\""),
            '\\' => encoded.push_str("\\\\"),
            '\n' => encoded.push_str("\\n"),
            '\r' => encoded.push_str("\\r"),
            '\t' => encoded.push_str("\\t"),
            '\u{8}' => encoded.push_str("\\b"),
            '\u{c}' => encoded.push_str("\\f"),
            c if u32::from(c) < 0x20 || more(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    _ = write!(encoded, "\\u{}", case.hex(*unit, 4));
                }
            }
            c => encoded.push(c),
        }
    }
    encoded
}

fn base64(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for engine in [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD] {
        forms.insert(engine.encode(value).into_bytes());
    }
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let shifted = engine.encode([&[0; 2][..before], value].concat());
            // The characters whose six bits are all the value's.
            let (from, to) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
            let own = shifted.as_bytes()[from..to].to_vec();
            if before == 0 {
                for width in BASE64_LINES.into_iter().filter(|width| own.len() > *width) {
                    for end in [&b"\n"[..], b"\r\n"] {
                        forms.insert(own.chunks(width).collect::<Vec<_>>().join(end));
                    }
                }
            }
            forms.insert(own);
        }
    }
}
