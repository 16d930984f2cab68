//! node's stack traces: the first frame in a file of the repository, else the line that an uncaught
//! error begins with (`/work/x.js:3`), which a syntax error has alone.

use hooks::checks::Level;

use super::{Found, SourceLocation, WORK};

/// An error that is being read.
#[derive(Debug, Default)]
pub(super) struct Stack {
    thrown_at: Option<SourceLocation>,
    message: Option<String>,
    frame: Option<SourceLocation>,
    in_frames: bool,
}

impl Stack {
    pub(super) fn line(&mut self, line: &str, found: &mut Found) {
        if let Some(frame) = line.trim_start().strip_prefix("at ").filter(|_| line.starts_with(' ')) {
            self.in_frames = true;
            self.frame = self.frame.take().or_else(|| place_of_frame(frame));
            return;
        }
        if self.in_frames || line.starts_with("Node.js v") {
            self.end(found);
        }
        if let Some(location) = own_place(line) {
            self.end(found);
            self.thrown_at = Some(location);
        } else if is_error(line) {
            self.message = Some(line.to_owned());
        }
    }

    /// What was read is one error, if it has a message and a location.
    pub(super) fn end(&mut self, found: &mut Found) {
        let Self { thrown_at, message, frame, .. } = std::mem::take(self);
        if let (Some(message), Some(location)) = (message, frame.or(thrown_at)) {
            found.add(location, Level::Failure, &message);
        }
    }
}

/// `f (/work/x.js:3:5)`, `async /work/x.js:3:5`, `file:///work/x.mjs:3:5`.
fn place_of_frame(frame: &str) -> Option<SourceLocation> {
    let inside = match frame.rsplit_once('(') {
        Some((_, inside)) => inside.strip_suffix(')')?,
        None => frame.strip_prefix("async ").unwrap_or(frame),
    };
    own_place(inside)
}

/// Only with the whole path: a bare name in a stack may be any language's.
fn own_place(text: &str) -> Option<SourceLocation> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    path.starts_with(WORK).then(|| SourceLocation::read(path)).flatten()
}

/// `TypeError: x is not a function`, `AssertionError [ERR_ASSERTION]: …`, `Error`.
fn is_error(line: &str) -> bool {
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    let word = line.split([':', ' ']).next().unwrap_or_default();
    (word.ends_with("Error") || word.ends_with("Exception"))
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.$".contains(&b))
}
