//! Globs that say which branches or paths a function cares about: `!` excludes, the last match wins.

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

/// A list of globs. An empty one lets everything through; one that only excludes starts from all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    globs: Vec<Glob>,
}

#[derive(Debug, Clone)]
struct Glob {
    text: String,
    excludes: bool,
    matcher: GlobMatcher,
}

/// A glob cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is not a glob")]
pub struct NotAGlob {
    glob: String,
}

impl Filter {
    /// Reads a list of globs; `*` does not cross a slash, `**` does.
    ///
    /// # Errors
    /// The first that is not a glob.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self, NotAGlob> {
        let globs = globs.iter().map(|text| Glob::new(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { globs })
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// The globs, as they were given.
    pub fn globs(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(|glob| glob.text.as_str())
    }

    /// Whether `text` passes.
    pub fn lets_through(&self, text: &str) -> bool {
        // With nothing to include, the excluding ones cut from everything.
        let start = self.globs.iter().all(|glob| glob.excludes);
        self.globs
            .iter()
            .fold(start, |passes, glob| if glob.matcher.is_match(text) { !glob.excludes } else { passes })
    }
}

impl Glob {
    fn new(text: &str) -> Result<Self, NotAGlob> {
        let (excludes, pattern) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let not_a_glob = || NotAGlob { glob: text.to_owned() };
        if pattern.is_empty() {
            return Err(not_a_glob());
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|_| not_a_glob())?;
        Ok(Self { text: text.to_owned(), excludes, matcher: glob.compile_matcher() })
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.globs.iter().map(|glob| &glob.text).eq(other.globs.iter().map(|glob| &glob.text))
    }
}

impl Eq for Filter {}

impl Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.globs.iter().map(|glob| &glob.text))
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(&[], "main" => true ; "no filter")]
    #[test_case(&["main"], "main" => true)]
    #[test_case(&["main"], "dev" => false)]
    #[test_case(&["release/*"], "release/1" => true)]
    #[test_case(&["release/*"], "release/1/x" => false ; "a star stops at a slash")]
    #[test_case(&["src/**"], "src/a/b.rs" => true)]
    #[test_case(&["!docs/**"], "src/a" => true ; "only excluding")]
    #[test_case(&["!docs/**"], "docs/a" => false ; "excluded")]
    #[test_case(&["**", "!docs/**", "docs/keep"], "docs/keep" => true ; "the last match wins")]
    fn passes(globs: &[&str], text: &str) -> bool {
        Filter::new(globs).unwrap().lets_through(text)
    }

    #[test]
    fn what_is_not_a_glob_is_named() {
        assert_eq!(Filter::new(&["a[", "b"]).unwrap_err().to_string(), "\"a[\" is not a glob");
        assert!(Filter::new(&["!"]).is_err());
    }
}
