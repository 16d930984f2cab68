//! Fields of what a gateway answers, as people read them. What is absent or empty is `None`.
//!
//! Read as JSON, so that what a newer gateway adds is kept for `--json`.

use serde_json::Value;

use crate::terminal;

/// A text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

/// A list of texts, with commas.
pub(crate) fn list(value: &Value, name: &str) -> Option<String> {
    let words: Vec<&str> = value[name].as_array()?.iter().filter_map(Value::as_str).collect();
    (!words.is_empty()).then(|| words.join(","))
}

/// A point in time, to the second: nobody reads the rest.
pub(crate) fn time(value: &Value, name: &str) -> Option<String> {
    let text = text(value, name)?;
    match text.split_once('.') {
        Some((to_the_second, _)) => Some(format!("{to_the_second}Z")),
        None => Some(text.to_owned()),
    }
}

/// The text as one line that cannot steer a terminal.
pub(crate) fn line(text: &str) -> String {
    terminal::safe(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test_case(json!({"at": "2026-01-02T03:04:05.678Z"}) => Some("2026-01-02T03:04:05Z".to_owned()))]
    #[test_case(json!({"at": "2026-01-02T03:04:05Z"}) => Some("2026-01-02T03:04:05Z".to_owned()) ; "no fraction")]
    #[test_case(json!({"at": ""}) => None ; "empty")]
    #[test_case(json!({}) => None ; "absent")]
    fn the_time(value: Value) -> Option<String> {
        time(&value, "at")
    }

    #[test_case(json!(["main", "!wip/*"]) => Some("main,!wip/*".to_owned()))]
    #[test_case(json!([]) => None ; "empty")]
    #[test_case(json!(null) => None ; "absent")]
    fn a_list(words: Value) -> Option<String> {
        list(&json!({ "words": words }), "words")
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line("a\nerror: b\x1b[2J"), "a error: b^[[2J");
    }
}
