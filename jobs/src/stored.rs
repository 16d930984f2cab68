//! A text in a record together with its parsed value.
//!
//! Records outlive the rules for what they hold: a text that an older program stored and that does not parse
//! any more is still read, compared and written back byte for byte. Only whoever needs its value is told that
//! there is none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CloneUrl, Forge, FunctionName, GitRef, RefName};

/// A text as a record holds it, parsed once when it is read. Equality and serialization are those of the
/// text.
#[derive(Clone)]
pub struct Stored<T: FromStr> {
    text: String,
    value: Result<T, T::Err>,
}

impl<T: FromStr> Stored<T> {
    /// The text, unchanged.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value, or why the text has none.
    ///
    /// # Errors
    /// The text does not parse.
    pub fn parsed(&self) -> Result<&T, &T::Err> {
        self.value.as_ref()
    }

    /// The value; `None` when the text does not parse.
    pub fn get(&self) -> Option<&T> {
        self.parsed().ok()
    }
}

impl<T: FromStr> From<String> for Stored<T> {
    fn from(text: String) -> Self {
        Self { value: text.parse(), text }
    }
}

impl<T: FromStr> From<&str> for Stored<T> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<CloneUrl> for Stored<CloneUrl> {
    fn from(url: CloneUrl) -> Self {
        Self { text: url.as_str().to_owned(), value: Ok(url) }
    }
}

impl From<Forge> for Stored<Forge> {
    fn from(forge: Forge) -> Self {
        Self { text: forge.as_str().to_owned(), value: Ok(forge) }
    }
}

impl From<FunctionName> for Stored<FunctionName> {
    fn from(name: FunctionName) -> Self {
        Self { text: name.as_str().to_owned(), value: Ok(name) }
    }
}

impl From<GitRef> for Stored<RefName> {
    fn from(git_ref: GitRef) -> Self {
        RefName::from(git_ref).into()
    }
}

impl From<RefName> for Stored<RefName> {
    fn from(name: RefName) -> Self {
        Self { text: name.as_str().to_owned(), value: Ok(name) }
    }
}

impl<T: FromStr> PartialEq for Stored<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T: FromStr> Eq for Stored<T> {}

impl<T: FromStr> fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<T: FromStr> fmt::Display for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T: FromStr> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{Job, RefHead, Repo, forge::BadUrl};

    /// A job as a gateway stored it, with a URL and a ref in these words.
    fn job_bytes(url: &str, reference: &str) -> String {
        let (url, reference) = (Value::from(url), Value::from(reference));
        format!(
            r#"{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","class":"push","label":"default","trigger":"push","url":{url},"ref":{reference},"state":"pending","attempt":0,"failures":0,"times_queued":1,"timings_ms":{{}}}}"#
        )
    }

    /// A registration as a gateway stored it.
    fn repo_bytes(url: &str, forge: &str, former: &str) -> String {
        let (url, forge, former) = (Value::from(url), Value::from(forge), Value::from(former));
        format!(
            r#"{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","viewers":[],"url":{url},"forge":{forge},"events":["push"],"branches":[],"paths":[],"label":"default","links":"key","sealed_secret":"","operator_credential":false,"former_urls":[{former}],"posts":false,"forks":"approve","skip_ci":"status","pull_requests":"run"}}"#
        )
    }

    const NONSENSE: [&str; 7] = [
        "",
        "not a URL",
        "git@host:a/b.git",
        "https://user:word@host/a",
        "file:///etc/passwd",
        "--upload-pack=sh",
        "\u{1b}[2J\u{0} é",
    ];

    #[test]
    fn what_does_not_parse_any_more_is_read_and_written_back_byte_for_byte() {
        for text in NONSENSE {
            let bytes = job_bytes(text, text);
            let job: Job = serde_json::from_str(&bytes).unwrap();
            assert_eq!((job.spec.url.as_str(), job.spec.url.get()), (text, None));
            let reference = job.spec.reference.as_ref().unwrap();
            assert_eq!(reference.as_str(), text);
            assert_eq!(serde_json::to_string(&job).unwrap(), bytes);

            let bytes = repo_bytes(text, text, text);
            let repo: Repo = serde_json::from_str(&bytes).unwrap();
            assert_eq!((repo.url.get(), repo.forge.get(), repo.former_urls[0].get()), (None, None, None));
            assert_eq!(serde_json::to_string(&repo).unwrap(), bytes);
        }
    }

    #[test]
    fn a_text_that_is_not_normalised_keeps_its_bytes_and_has_a_value() {
        let url = "HTTPS://GitHub.com/A/B.git/";
        let bytes = job_bytes(url, "main");
        let job: Job = serde_json::from_str(&bytes).unwrap();
        assert_eq!(job.spec.url.get().map(CloneUrl::as_str), Some("https://github.com/A/B.git"));
        assert_eq!(serde_json::to_string(&job).unwrap(), bytes);
    }

    #[test]
    fn the_ref_of_a_pull_request_is_no_branch() {
        let bytes = r#"{"after":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","reference":"refs/pull/5/head"}"#;
        let head: RefHead = serde_json::from_str(bytes).unwrap();
        let reference = head.reference.as_ref().and_then(Stored::get).unwrap();
        assert_eq!(reference.as_git_ref(), None);
        assert_eq!(serde_json::to_string(&head).unwrap(), bytes);
    }

    #[test]
    fn why_there_is_no_value_is_kept() {
        assert_eq!(Stored::<CloneUrl>::from("ssh://host/a").parsed(), Err(&BadUrl::Scheme));
    }
}
