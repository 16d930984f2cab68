//! rustc's diagnostics (a heading, then `--> file:line:col`) and panics.

use hooks::checks::Level;

use super::{Found, Place};

/// A diagnostic whose place has not come yet, or a panic whose message has not.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    heading: Option<(Level, String)>,
    panicked_at: Option<Place>,
}

impl Diagnostics {
    pub(super) fn line(&mut self, line: &str, found: &mut Found) {
        if let Some(place) = self.panicked_at.take() {
            found.add(place, Level::Failure, &format!("panicked: {line}"));
        }
        if let Some(arrow) = line.trim_start().strip_prefix("--> ") {
            if let (Some((level, heading)), Some(place)) = (self.heading.take(), Place::read(arrow.trim())) {
                found.add(place, level, &heading);
            }
        } else if let Some(level) = level(line) {
            self.heading = Some((level, line.to_owned()));
        } else if line.trim().is_empty() {
            self.heading = None;
        } else if line.starts_with("thread '")
            && let Some((_, place)) = line.split_once(" panicked at ")
        {
            self.panicked_at = Place::read(place.trim_end_matches(':'));
        }
    }

    /// A panic without a message.
    pub(super) fn end(&mut self, found: &mut Found) {
        if let Some(place) = self.panicked_at.take() {
            found.add(place, Level::Failure, "panicked");
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
