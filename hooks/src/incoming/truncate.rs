//! Truncates the texts of an event, so that a record stays small whatever its sender wrote. Refs, URLs and
//! ids that are too long are refused before.

use serde_json::Value;

use super::Incoming;

/// The longest text that is kept of a payload, in bytes: forges' own names and titles are shorter.
pub(super) const MAX_TEXT_BYTES: usize = 1024;

/// The event with every text truncated; a truncated link would be wrong, so it is removed.
pub(super) fn truncated(incoming: Incoming) -> Incoming {
    let mut value = serde_json::to_value(&incoming).expect("an event is JSON");
    if !truncate(&mut value) {
        return incoming;
    }
    // What was cut is text, and text stays text.
    serde_json::from_value(value).unwrap_or_else(|_| Incoming::Ignored("it cannot be kept".to_owned()))
}

/// Truncates every text in a value; returns whether one was too long.
fn truncate(value: &mut Value) -> bool {
    match value {
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            let mut end = MAX_TEXT_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            true
        }
        // Each of them, not up to the first.
        Value::Array(items) => items.iter_mut().filter_map(|item| truncate(item).then_some(())).count() > 0,
        Value::Object(fields) => fields.iter_mut().fold(false, |was, (name, field)| {
            let was_cut = truncate(field);
            if was_cut && name == "html_url" {
                *field = Value::Null;
            }
            was_cut || was
        }),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_of_900_kilobytes_leaves_one_and_a_link_none() {
        let long = "ü".repeat(450_000);
        let mut value = json!({ "html_url": long, "sender": long, "ref": "refs/heads/main", "list": [long] });
        assert!(truncate(&mut value));
        assert_eq!(value["html_url"], Value::Null);
        assert_eq!(value["sender"].as_str().unwrap().len(), MAX_TEXT_BYTES);
        assert_eq!(value["list"][0].as_str().unwrap().len(), MAX_TEXT_BYTES);
        assert!(!truncate(&mut value));
    }
}
