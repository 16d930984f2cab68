//! rustc's diagnostics (a heading, then `--> file:line:col`) and panics.

use hooks::checks::Level;

use super::{Found, SourceLocation};

/// A diagnostic whose location has not come yet, or a panic whose message has not.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    heading: Option<(Level, String)>,
    panicked_at: Option<SourceLocation>,
}

impl Diagnostics {
    pub(super) fn line(&mut self, line: &str, found: &mut Found) {
        if let Some(location) = self.panicked_at.take() {
            found.add(location, Level::Failure, &format!("panicked: {line}"));
        }
        if let Some(arrow) = line.trim_start().strip_prefix("--> ") {
            if let (Some((level, heading)), Some(location)) =
                (self.heading.take(), SourceLocation::read(arrow.trim()))
            {
                found.add(location, level, &heading);
            }
        } else if let Some(level) = level(line) {
            self.heading = Some((level, line.to_owned()));
        } else if line.trim().is_empty() {
            self.heading = None;
        } else if line.starts_with("thread '")
            && let Some((_, location)) = line.split_once(" panicked at ")
        {
            self.panicked_at = SourceLocation::read(location.trim_end_matches(':'));
        }
    }

    /// A panic without a message.
    pub(super) fn end(&mut self, found: &mut Found) {
        if let Some(location) = self.panicked_at.take() {
            found.add(location, Level::Failure, "panicked");
        }
    }
}

/// `error: …`, `error[E0308]: …`, `warning: …`.
fn level(line: &str) -> Option<Level> {
    let is_heading = |rest: &str| rest.starts_with(": ") || (rest.starts_with('[') && rest.contains("]: "));
    if line.strip_prefix("error").is_some_and(is_heading) {
        Some(Level::Failure)
    } else if line.strip_prefix("warning").is_some_and(is_heading) {
        Some(Level::Warning)
    } else {
        None
    }
}
