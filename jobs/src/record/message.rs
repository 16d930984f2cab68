//! The one sentence of a record, cut to what a record has room for.

use crate::Outcome;

/// The longest sentence a record keeps; messages quote what users wrote.
const MAX_MESSAGE_BYTES: usize = 4096;
/// What a record says of a job that ended well without a run.
const BUILT: &str = "built, not run";

/// What a record says of an outcome.
pub(super) fn message_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Finished => None,
        Outcome::Built => Some(BUILT.to_owned()),
        Outcome::Skipped { why } => Some(cut(why)),
        Outcome::Failed { message, .. } => Some(cut(message)),
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
