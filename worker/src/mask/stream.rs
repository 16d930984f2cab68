//! One stream with the secrets hidden, piece by piece.
//!
//! Every byte that is part of any form of any value is hidden, and a run of hidden bytes becomes one
//! [`HIDDEN`]; so what comes out does not depend on how the stream was cut into pieces. Held back is
//! exactly what may be the beginning of a form, and nothing when the last bytes are none.

use std::{collections::VecDeque, ops::Range};

use aho_corasick::automaton::StateID;
use bytes::Bytes;

use super::{Mask, Patterns};

/// What is shown in the place of a secret.
const HIDDEN: &[u8] = b"***";

/// Hides secrets in one stream: one source of one phase.
#[derive(Debug)]
pub struct MaskedStream {
    mask: Mask,
    state: Option<StateID>,
    /// Came, and has not gone out yet.
    held: Vec<u8>,
    /// Parts of `held` that are hidden: apart from each other, in order.
    hidden: VecDeque<Range<usize>>,
    /// Whether the last byte that went out was hidden: what follows it is the same run.
    in_hidden_run: bool,
}

impl MaskedStream {
    pub(super) fn new(mask: Mask) -> Self {
        Self { mask, state: None, held: Vec::new(), hidden: VecDeque::new(), in_hidden_run: false }
    }

    /// Takes a piece, and returns what can go out now.
    pub fn push(&mut self, piece: Bytes) -> Bytes {
        let Some(patterns) = self.mask.0.clone() else { return piece };
        let already_held = self.held.len();
        let state = self.look(&patterns, &piece, already_held);
        let begun = patterns.begun(state);
        if already_held == 0 && begun == 0 && self.hidden.is_empty() {
            self.in_hidden_run &= piece.is_empty();
            return piece;
        }
        self.held.extend_from_slice(&piece);
        self.release(self.held.len() - begun)
    }

    /// What is left, at the end of the stream.
    pub fn finish(&mut self) -> Bytes {
        self.state = None;
        self.release(self.held.len())
    }

    /// Notes what of `piece`, which follows `offset` held bytes, is hidden.
    fn look(&mut self, patterns: &Patterns, piece: &[u8], offset: usize) -> StateID {
        let mut state = self.state.unwrap_or(patterns.start);
        for (at, byte) in piece.iter().enumerate() {
            state = patterns.next(state, *byte);
            if let Some(length) = patterns.ended(state) {
                let end = offset + at + 1;
                // A form that ends here began no earlier than what was held back for it.
                let mut found = end - length..end;
                while let Some(last) = self.hidden.pop_back_if(|last| last.end >= found.start) {
                    found.start = found.start.min(last.start);
                }
                self.hidden.push_back(found);
            }
        }
        self.state = Some(state);
        state
    }

    /// Lets the first `bytes` of what is held go out.
    fn release(&mut self, bytes: usize) -> Bytes {
        let mut out = Vec::with_capacity(bytes);
        let mut at = 0;
        while at < bytes {
            let next = self.hidden.front().cloned().unwrap_or(usize::MAX..usize::MAX);
            if at < next.start {
                let end = next.start.min(bytes);
                out.extend_from_slice(&self.held[at..end]);
                self.in_hidden_run = false;
                at = end;
            } else {
                if !self.in_hidden_run {
                    out.extend_from_slice(HIDDEN);
                }
                self.in_hidden_run = true;
                at = next.end.min(bytes);
                if next.end <= bytes {
                    self.hidden.pop_front();
                }
            }
        }
        self.held.drain(..bytes);
        for range in &mut self.hidden {
            *range = range.start.saturating_sub(bytes)..range.end - bytes;
        }
        out.into()
    }
}
