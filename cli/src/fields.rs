//! Values of answers, as people read them. What is absent or empty is `None`.

use jiff::Timestamp;
use jobs::api::OpenEnum;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::terminal;

/// A text.
pub(crate) fn text(value: Option<&str>) -> Option<&str> {
    value.filter(|text| !text.is_empty())
}

/// A list of texts, with commas.
pub(crate) fn list(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(","))
}

/// A list of words of a closed set, with commas.
pub(crate) fn words<T: Serialize>(words: &[OpenEnum<T>]) -> Option<String> {
    list(&words.iter().map(OpenEnum::word).collect::<Vec<_>>())
}

/// A point in time, to the second: nobody reads the rest.
pub(crate) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same in a list, where every time is in UTC.
pub(crate) fn listed_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Reads a word of the command line.
pub(crate) fn read<T: DeserializeOwned>(word: &str) -> serde_json::Result<T> {
    serde_json::from_value(Value::from(word))
}

/// The text as one line that cannot steer a terminal.
pub(crate) fn line(text: &str) -> String {
    terminal::safe(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("2026-01-02T03:04:05.678Z" => "2026-01-02T03:04:05Z")]
    #[test_case("2026-01-02T03:04:05.999999999Z" => "2026-01-02T03:04:05Z" ; "not rounded")]
    #[test_case("2026-01-02T03:04:05Z" => "2026-01-02T03:04:05Z" ; "no fraction")]
    fn the_time(text: &str) -> String {
        time(text.parse().unwrap())
    }

    #[test_case(Some("a") => Some("a"))]
    #[test_case(Some("") => None ; "empty")]
    #[test_case(None => None ; "absent")]
    fn a_text(value: Option<&str>) -> Option<&str> {
        text(value)
    }

    #[test_case(&["main", "!wip/*"] => Some("main,!wip/*".to_owned()))]
    #[test_case(&[] => None ; "empty")]
    fn a_list(words: &[&str]) -> Option<String> {
        list(&words.iter().copied().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line("a\nerror: b\x1b[2J"), "a error: b^[[2J");
    }
}
