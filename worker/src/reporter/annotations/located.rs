//! `file:line[:col]: message` and `file(line[,col]): message`, as most compilers and linters write.

use hooks::checks::Level;

use super::{Found, SourceLocation, number};

/// `example.com:443: refused` is an address; no language's files end so.
const DOMAINS: [&str; 7] = ["com", "net", "org", "io", "dev", "local", "internal"];
/// Files of the trade without a dot.
const DOTLESS: [&str; 3] = ["Makefile", "Dockerfile", "Rakefile"];

pub(super) fn line(line: &str, found: &mut Found) {
    if let Some((location, message)) = colons(line.trim_start()).or_else(|| parentheses(line.trim_start())) {
        found.add(location, level(message), message);
    }
}

fn colons(line: &str) -> Option<(SourceLocation, &str)> {
    let (path, rest) = line.split_once(':')?;
    let (at, rest) = digits(rest)?;
    let (column, rest) = match rest.strip_prefix(':').and_then(digits) {
        Some((column, rest)) => (Some(column), rest),
        None => (None, rest),
    };
    // `-` is tsc on a terminal.
    let message = rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" - "))?;
    Some((location(path, at, column)?, message))
}

fn parentheses(line: &str) -> Option<(SourceLocation, &str)> {
    let (path, rest) = line.split_once('(')?;
    let (inside, rest) = rest.split_once(')')?;
    let (at, column) = match inside.split_once(',') {
        Some((at, column)) => (at, Some(number(column.trim())?)),
        None => (inside, None),
    };
    let message = rest.strip_prefix(": ")?;
    Some((location(path, number(at)?, column)?, message))
}

fn digits(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((number(&text[..end])?, &text[end..]))
}

/// Times, addresses and sentences have colons too: a file has an extension and no blanks.
fn location(path: &str, line: u32, column: Option<u32>) -> Option<SourceLocation> {
    let name = path.rsplit('/').next()?;
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let is_file = match extension {
        Some(extension) => {
            extension.starts_with(|c: char| c.is_ascii_alphabetic())
                && extension.len() <= 10
                && extension.bytes().all(|b| b.is_ascii_alphanumeric())
                && (path.contains('/') || !DOMAINS.contains(&extension))
        }
        None => DOTLESS.contains(&name),
    };
    (is_file && !path.contains(char::is_whitespace)).then(|| SourceLocation::of(path, line, column)).flatten()
}

/// How grave it is, by the message's first word.
fn level(message: &str) -> Level {
    let word = message.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty());
    let word = word.unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "note" | "info" | "hint" | "help" => Level::Notice,
        "fatal" => Level::Failure,
        _ if word.ends_with("error") || word.ends_with("exception") => Level::Failure,
        _ => Level::Warning,
    }
}
