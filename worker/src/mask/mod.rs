//! Hides the values of secrets in everything that a job writes or that is said of it.
//!
//! A [`Mask`] knows the forms in which a value may appear (`forms`); a [`MaskedStream`] hides them in
//! one stream, also when they come in several pieces (`stream`). What leaves a worker (log,
//! result, error output, message) has gone through here before.
//!
//! Not hidden: what a program makes of a secret by its own means (reversed, compressed, split by
//! other output), and values of fewer than [`MIN_BYTES`] bytes, which would hide half the log.

mod forms;
mod stream;

use std::{collections::HashMap, sync::Arc};

use aho_corasick::{
    Anchored,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};
use jobs::Outcome;

pub use stream::MaskedStream;

/// Shorter values are words that appear everywhere.
pub const MIN_BYTES: usize = 4;

/// What to hide. Cheap to clone; `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Mask(Option<Arc<Patterns>>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Mask(…)" } else { "Mask(nothing)" })
    }
}

/// All forms of all values in one automaton, and where a form may go on.
struct Patterns {
    automaton: NFA,
    start: StateID,
    /// How many bytes a state has seen of a form that is not complete yet.
    begun: HashMap<StateID, usize>,
    /// The state of the longest shorter ending of a form that cannot go on.
    shorter: HashMap<StateID, StateID>,
}

impl Mask {
    /// Hides nothing.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Hides each of these values in all its forms; those that are too short are left out.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<Vec<u8>> =
            values.into_iter().filter(|value| can_be_hidden(value)).flat_map(forms::of).collect();
        all.sort();
        all.dedup();
        Self(Patterns::new(&all).map(Arc::new))
    }

    /// A stream in which they are hidden.
    pub fn stream(&self) -> MaskedStream {
        MaskedStream::new(self.clone())
    }

    /// A whole text in which they are hidden.
    pub fn text(&self, text: String) -> String {
        if self.0.is_none() {
            return text;
        }
        let mut stream = self.stream();
        let mut masked = stream.push(text.into()).to_vec();
        masked.extend_from_slice(&stream.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// An outcome whose sentence hides them.
    pub fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Finished => Outcome::Finished,
            Outcome::Built => Outcome::Built,
            Outcome::Skipped { why } => Outcome::Skipped { why: self.text(why) },
            Outcome::Failed { cause, fault, message } => {
                Outcome::Failed { cause, fault, message: self.text(message) }
            }
        }
    }
}

/// Whether a value is long enough to be hidden; blanks around it do not count.
pub fn can_be_hidden(value: &str) -> bool {
    value.trim().len() >= MIN_BYTES
}

impl Patterns {
    /// `None` without a form, or with more of them than fit an automaton: then a worker has been
    /// given hundreds of megabytes of secrets.
    fn new(all: &[Vec<u8>]) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let automaton = NFA::new(all).expect("forms of values that a message held fit an automaton");
        let start = automaton.start_state(Anchored::No).expect("this kind begins anywhere");
        let anchored = automaton.start_state(Anchored::Yes).expect("this kind begins at the start");
        let follow = |from: StateID, how, bytes: &[u8]| {
            bytes.iter().fold(from, |state, byte| automaton.next_state(how, state, *byte))
        };
        let mut begun = HashMap::new();
        let mut ends = Vec::new();
        for form in all {
            let mut state = anchored;
            for (at, byte) in form.iter().enumerate() {
                if at > 0 {
                    begun.insert(state, at);
                }
                state = automaton.next_state(Anchored::Yes, state, *byte);
            }
            ends.push(state);
        }
        let shorter = ends
            .iter()
            .zip(all)
            .filter(|(end, _)| !begun.contains_key(*end))
            .map(|(end, form)| (*end, follow(start, Anchored::No, &form[1..])))
            .collect();
        Some(Self { automaton, start, begun, shorter })
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// The length in bytes of the longest form that ends here.
    fn ended(&self, state: StateID) -> Option<usize> {
        if !self.automaton.is_match(state) {
            return None;
        }
        let lengths = (0..self.automaton.match_len(state))
            .map(|index| self.automaton.pattern_len(self.automaton.match_pattern(state, index)));
        lengths.max()
    }

    /// How many of the last bytes may be the beginning of a form.
    fn begun(&self, mut state: StateID) -> usize {
        loop {
            if let Some(bytes) = self.begun.get(&state) {
                return *bytes;
            }
            match self.shorter.get(&state) {
                Some(next) => state = *next,
                None => return 0,
            }
        }
    }
}

#[cfg(test)]
mod tests;
