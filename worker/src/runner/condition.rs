//! Conditions of `runner.toml`: parsed at start, judged against a commit and its manifest.

use std::str::FromStr;

/// JSON that is looked into, in bytes: as values it takes up to twenty times as much memory.
const MAX_JSON_BYTES: usize = 512 << 10;

/// One or more parts; it holds if one of them does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Always,
    Field(String),
    File(String),
    Json { path: String, keys: Vec<String> },
    Lines { path: String, texts: Vec<Text> },
}

/// What a line is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Holds(String),
    Begins(String),
}

/// What a condition is judged by. A file is a regular file of the commit.
pub trait Facts {
    /// A field of the manifest, if it is there.
    fn field(&self, name: &str) -> Option<&str>;
    /// The content of a file, if it is there and not too large to look into.
    fn file(&self, path: &str) -> Option<Vec<u8>>;
    /// The files that a `lines` condition on `path` looks at: `path` itself, and where it is one of
    /// the inputs, what is reached from them.
    fn reached(&self, path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }
}

impl Condition {
    /// Whether it holds. What cannot be read or parsed makes its part false.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        self.0.iter().any(|part| part.holds(facts))
    }
}

impl Part {
    fn holds(&self, facts: &impl Facts) -> bool {
        let field = |name: &str| facts.field(name).map(str::to_owned);
        let fill = |path: &str| {
            let value = path.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match value {
                Some(name) => field(name).filter(|value| !value.is_empty()),
                None => Some(path.to_owned()),
            }
        };
        match self {
            Self::Always => true,
            Self::Field(name) => facts.field(name).is_some_and(|value| !value.is_empty()),
            Self::File(path) => fill(path).is_some_and(|path| facts.file(&path).is_some()),
            Self::Json { path, keys } => fill(path)
                .and_then(|path| facts.file(&path))
                .filter(|bytes| bytes.len() <= MAX_JSON_BYTES)
                .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
                .is_some_and(|json| keys.iter().any(|key| has(&json, key))),
            Self::Lines { path, texts } => fill(path).is_some_and(|path| {
                let files = facts.reached(&path);
                files.iter().filter_map(|file| facts.file(file)).any(|bytes| {
                    let content = String::from_utf8_lossy(&bytes);
                    content.lines().any(|line| texts.iter().any(|text| text.matches(bare(line))))
                })
            }),
        }
    }
}

impl Text {
    fn matches(&self, line: &str) -> bool {
        match self {
            Self::Holds(text) => line.contains(text.as_str()),
            Self::Begins(text) => line.starts_with(text.as_str()),
        }
    }
}

/// A line without comment and surrounding spaces.
pub(crate) fn bare(line: &str) -> &str {
    let comment = line
        .char_indices()
        .find(|&(at, c)| c == '#' && (at == 0 || line[..at].ends_with(char::is_whitespace)));
    line[..comment.map_or(line.len(), |(at, _)| at)].trim()
}

/// Whether the object holds something under the key; a dot goes one object down.
fn has(json: &serde_json::Value, key: &str) -> bool {
    use serde_json::Value;
    let found = key.split('.').try_fold(json, |value, name| value.as_object()?.get(name));
    match found {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(object)) => !object.is_empty(),
        Some(Value::Number(_)) => true,
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(" | ").map(|part| parse(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn parse(text: &str) -> Result<Part, String> {
    let wrong = || format!("{text:?} is not a condition");
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let with_list = |rest: &str| -> Option<(String, Vec<String>)> {
        let (path, list) = rest.split_once(':')?;
        let list: Vec<_> = list.split(',').map(str::to_owned).collect();
        (!path.is_empty() && list.iter().all(|entry| !entry.is_empty())).then(|| (path.to_owned(), list))
    };
    match text.split_once(':') {
        None if text == "always" => Ok(Part::Always),
        None if is_word(text) => Ok(Part::Field(text.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Part::File(path.to_owned())),
        Some(("json", rest)) => {
            let (path, keys) = with_list(rest).ok_or_else(wrong)?;
            Ok(Part::Json { path, keys })
        }
        Some(("lines", rest)) => {
            let (path, texts) = with_list(rest).ok_or_else(wrong)?;
            let texts = texts.into_iter().map(|text| match text.strip_prefix('^') {
                Some(begin) => Text::Begins(begin.to_owned()),
                None => Text::Holds(text),
            });
            Ok(Part::Lines { path, texts: texts.collect() })
        }
        None | Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    struct Commit;

    impl Facts for Commit {
        fn field(&self, name: &str) -> Option<&str> {
            match name {
                "requirementsFile" => Some("req.txt"),
                "empty" => Some(""),
                _ => None,
            }
        }
        fn file(&self, path: &str) -> Option<Vec<u8>> {
            let content = match path {
                "req.txt" => "numpy # ./not\n  ./local\nx#y\n",
                "package.json" => r#"{"dependencies":{},"scripts":{"install":"x"},"a":["b"]}"#,
                "broken.json" => "{",
                _ => return None,
            };
            Some(content.as_bytes().to_vec())
        }
    }

    #[test_case("always" => true)]
    #[test_case("requirementsFile" => true)]
    #[test_case("empty" => false)]
    #[test_case("absent" => false)]
    #[test_case("file:package.json" => true)]
    #[test_case("file:absent | absent | always" => true; "one of several")]
    #[test_case("json:package.json:dependencies" => false; "an empty object")]
    #[test_case("json:package.json:dependencies,scripts.install" => true; "one object down")]
    #[test_case("json:package.json:scripts.install.x" => false; "below a string")]
    #[test_case("json:broken.json:a" => false; "not JSON")]
    #[test_case("lines:{requirementsFile}:^." => true; "begins after spaces")]
    #[test_case("lines:{requirementsFile}:not" => false; "in a comment")]
    #[test_case("lines:{requirementsFile}:#y" => true; "not a comment")]
    #[test_case("lines:absent:x" => false; "no such file")]
    fn holds(text: &str) -> bool {
        text.parse::<Condition>().unwrap().holds(&Commit)
    }

    #[test_case("")]
    #[test_case("no such thing")]
    #[test_case("json:package.json"; "no keys")]
    #[test_case("lines:x:a,,b"; "an empty text")]
    #[test_case("url:x"; "unknown kind")]
    fn is_not_a_condition(text: &str) {
        assert!(text.parse::<Condition>().is_err());
    }
}
