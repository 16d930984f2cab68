//! A word of a closed set that may grow: a client keeps what a newer gateway added.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A value of a closed set, or one that a newer gateway added. On the wire it is the value alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OpenEnum<T> {
    /// A value that this program knows.
    Known(T),
    /// One that it does not, as it came.
    Unknown(Value),
}

impl<T> OpenEnum<T> {
    /// The value, if this program knows it.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: DeserializeOwned> OpenEnum<T> {
    /// Reads the word as it is on the wire.
    pub fn from_word(word: &str) -> Self {
        let value = Value::from(word);
        T::deserialize(&value).map_or(Self::Unknown(value), Self::Known)
    }
}

impl<T: Serialize> OpenEnum<T> {
    /// The word as it is on the wire; JSON of what is not a word.
    pub fn word(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => word,
            Ok(other) => other.to_string(),
            Err(_) => String::new(),
        }
    }
}

impl<T> From<T> for OpenEnum<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: PartialEq> PartialEq<T> for OpenEnum<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(other)
    }
}

impl<T: Serialize> fmt::Display for OpenEnum<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    #[test]
    fn a_word_that_is_not_known_is_kept_as_it_came() {
        let words: Vec<OpenEnum<State>> = serde_json::from_str(r#"["finish","paused"]"#).unwrap();
        assert_eq!(words[0], State::Finish);
        assert_eq!(words[1], OpenEnum::Unknown("paused".into()));
        assert_eq!(words[1].to_string(), "paused");
        assert_eq!(serde_json::to_string(&words).unwrap(), r#"["finish","paused"]"#);
        assert_eq!(OpenEnum::<State>::from_word("finish"), State::Finish);
        assert_eq!(OpenEnum::<State>::from_word("paused"), words[1]);
    }
}
