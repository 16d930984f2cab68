//! Escapes untrusted text for terminals: control characters are shown, not executed.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every control character made visible (`^[` for escape), but line ends and tabs.
/// Carriage returns become line ends, so that a progress bar is a list of its states. Characters that
/// turn the direction of writing around are shown by number, because they make text say what it does not.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_control(c) || c == '\r') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => shown.push('\n'),
            '\0'..='\x1f' if is_control(c) => {
                shown.push('^');
                shown.push(char::from(c as u8 + b'@'));
            }
            '\x7f' => shown.push_str("^?"),
            c if is_control(c) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal would interpret this character instead of showing it.
fn is_control(c: char) -> bool {
    match c {
        '\n' | '\t' | '\r' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("plain, ünïcode 🦀\tand\n" => "plain, ünïcode 🦀\tand\n")]
    #[test_case("\x1b[2J\x1b]0;title\x07" => "^[[2J^[]0;title^G" ; "clearing and retitling")]
    #[test_case("\u{9b}31m" => "\\u{9b}31m" ; "an escape of one byte")]
    #[test_case("10%\r20%\r\ndone" => "10%\n20%\ndone" ; "a progress bar")]
    #[test_case("\u{202e}gpj.exe" => "\\u{202e}gpj.exe" ; "turned around")]
    #[test_case("\0\x7f" => "^@^?")]
    fn shown(text: &str) -> String {
        safe(text).into_owned()
    }
}
