//! Python's tracebacks: the last frame in a file of the repository, with the exception's line.

use hooks::checks::Level;

use super::{Found, SourceLocation, number};

/// A traceback that is being read.
#[derive(Debug, Default)]
pub(super) struct Traceback {
    is_open: bool,
    last: Option<SourceLocation>,
}

impl Traceback {
    pub(super) fn line(&mut self, line: &str, found: &mut Found) {
        if line.starts_with("Traceback (most recent call last)") {
            *self = Self { is_open: true, last: None };
        } else if let Some(frame) = line.trim_start().strip_prefix("File \"") {
            // A syntax error has a frame and no heading.
            self.is_open = true;
            self.last = location(frame).or(self.last.take());
        } else if self.is_open && !line.is_empty() && !line.starts_with([' ', '\t']) {
            if let Some(location) = self.last.take() {
                found.add(location, Level::Failure, line);
            }
            self.is_open = false;
        }
    }
}

/// `main.py", line 3, in f`.
fn location(frame: &str) -> Option<SourceLocation> {
    let (path, rest) = frame.split_once("\", line ")?;
    let line = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    SourceLocation::of(path, number(line)?, None)
}
