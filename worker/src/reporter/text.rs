//! Text of strangers made fit to be shown at a forge: without control characters, in a fence that it
//! cannot close, short enough.

use std::borrow::Cow;

/// The longest run of backticks that is left in a fence; a fence is one longer.
const MAX_TICKS: usize = 15;
/// Stands in longer runs: invisible, and not a backtick.
const BREAK: char = '\u{200b}';

/// Without control sequences of terminals and without control characters; each end of a line is one
/// `\n`, also the lone `\r` of a progress bar, which Markdown takes for one. Tabs stay.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push('\n');
            }
            '\u{1b}' => match chars.next_if(|next| matches!(next, '[' | ']')) {
                Some('[') => while chars.next().is_some_and(|c| !matches!(c, '@'..='~' | '\n')) {},
                Some(_) => while chars.next().is_some_and(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')) {},
                None => {}
            },
            c if is_odd(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The end of a text, in whole characters and, where there is one, beginning with a whole line.
pub(super) fn tail(text: &str, max_bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(max_bytes);
    if start == 0 {
        return text;
    }
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = &text[start..];
    match cut.split_once('\n') {
        Some((_, lines)) if !lines.is_empty() => lines,
        Some(_) | None => cut,
    }
}

/// A Markdown code block that shows exactly `text`, which has been made [`plain`]. At most a quarter
/// longer than the text, plus 40 bytes.
pub(super) fn fenced(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    let (mut run, mut longest) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        if run > MAX_TICKS {
            inside.push(BREAK);
            run = 1;
        }
        longest = longest.max(run);
        inside.push(c);
    }
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", inside.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("a\tb\nc" => "a\tb\nc"; "as it is")]
    #[test_case("\u{1b}[1;31merror\u{1b}[0m: x\0y" => "error: xy"; "colours")]
    #[test_case("\u{1b}]0;title\u{7}x\u{7f}\u{1b}cy" => "xcy"; "title")]
    #[test_case("10 %\r20 %\r\nend" => "10 %\n20 %\nend"; "progress")]
    #[test_case("\u{1b}[31\nnext" => "next"; "broken off")]
    fn made_plain(text: &str) -> String {
        plain(text).into_owned()
    }

    #[test_case("one\ntwo\nthree", 7 => "three"; "whole lines")]
    #[test_case("ééé", 3 => "é"; "whole characters")]
    #[test_case("short", 100 => "short"; "all of it")]
    fn the_end(text: &str, max_bytes: usize) -> String {
        tail(text, max_bytes).to_owned()
    }

    #[test_case("plain\n" => "```text\nplain\n```\n"; "plain text")]
    #[test_case("a\n````\n<b>" => "`````text\na\n````\n<b>\n`````\n"; "a fence inside")]
    fn in_a_fence(text: &str) -> String {
        fenced(text)
    }

    #[test]
    fn nothing_but_backticks_stays_inside_and_short() {
        let text = fenced(&"`".repeat(50 * 1024));
        let fence = text.lines().last().unwrap();
        assert_eq!(fence, "`".repeat(16));
        assert!(!text.lines().nth(1).unwrap().contains(fence));
        assert!(text.len() <= 65_535, "{}", text.len());
    }
}
