//! Annotations beside lines of the commit's files, found in a job's log.
//!
//! Text goes in, annotations come out; nothing is looked up. Understood are lines of compilers and
//! linters ([`located`]), and what python, rust and node print when a program fails. Whether the
//! file is in the repository is not known here, only that it could be.

mod located;
mod node;
mod python;
mod rust;

use std::collections::HashSet;

use hooks::checks::{Annotation, Level};

use super::text::plain;

/// More than this nobody reads, and each fifty cost a request.
pub(super) const MAX: usize = 200;
/// Looked at, of a log that is all annotations.
const MAX_FOUND: usize = 5000;
/// Of one annotation, in bytes; GitHub takes 64 KB, and the log has the rest.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Longer paths are none; Linux ends at 4096.
const MAX_PATH_BYTES: usize = 500;
/// Where a job's files are while it runs.
const WORK: &str = "/work/";
/// Folders that hold what others wrote.
const FOREIGN: [&str; 5] = [".git", "node_modules", "site-packages", ".venv", "dist-packages"];

/// A location in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceLocation {
    path: String,
    line: u32,
    column: Option<u32>,
}

impl SourceLocation {
    /// Reads `path:line` or `path:line:column` and nothing after it.
    fn read(text: &str) -> Option<Self> {
        let (rest, last) = text.rsplit_once(':')?;
        let last = number(last)?;
        match rest.rsplit_once(':').and_then(|(path, line)| Some((path, number(line)?))) {
            Some((path, line)) => Self::of(path, line, Some(last)),
            None => Self::of(rest, last, None),
        }
    }

    /// `None` for what cannot be a file of the repository.
    fn of(path: &str, line: u32, column: Option<u32>) -> Option<Self> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        let path = path.strip_prefix(WORK).unwrap_or(path);
        let path = path.strip_prefix("./").unwrap_or(path);
        let is_ours = |part: &str| !matches!(part, "" | "." | "..") && !FOREIGN.contains(&part);
        let is_safe = path.len() <= MAX_PATH_BYTES
            && !path.contains(|c: char| c.is_control() || "\\:<>\"|?*".contains(c))
            && path.split('/').all(is_ours);
        (is_safe && line > 0).then(|| Self {
            path: path.to_owned(),
            line,
            column: column.filter(|column| *column > 0),
        })
    }
}

/// A line number as compilers write it; more digits are something else.
fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 7 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    annotations: Vec<Annotation>,
    seen: HashSet<(String, u32, String)>,
}

impl Found {
    fn add(&mut self, location: SourceLocation, level: Level, message: &str) {
        let mut end = message.len().min(MAX_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message[..end].trim().to_owned();
        if message.is_empty()
            || self.annotations.len() >= MAX_FOUND
            || !self.seen.insert((location.path.clone(), location.line, message.clone()))
        {
            return;
        }
        self.annotations.push(Annotation {
            path: location.path,
            start_line: location.line,
            end_line: location.line,
            start_column: location.column,
            end_column: location.column,
            level,
            message,
        });
    }
}

/// The annotations of one output of a job, at most [`MAX`], each once. Of too many the graver ones are
/// kept, in the log's order.
pub(super) fn of<'a>(outputs: impl IntoIterator<Item = &'a str>) -> Vec<Annotation> {
    let mut found = Found::default();
    for output in outputs {
        let (mut python, mut node, mut rust) =
            (python::Traceback::default(), node::Stack::default(), rust::Diagnostics::default());
        for line in plain(output).lines() {
            located::line(line, &mut found);
            python.line(line, &mut found);
            node.line(line, &mut found);
            rust.line(line, &mut found);
        }
        node.end(&mut found);
        rust.end(&mut found);
    }
    let mut annotations = found.annotations;
    if annotations.len() > MAX {
        annotations.sort_by_key(|annotation| match annotation.level {
            Level::Failure => 0,
            Level::Warning => 1,
            Level::Notice => 2,
        });
        annotations.truncate(MAX);
    }
    annotations
}

#[cfg(test)]
mod tests;
