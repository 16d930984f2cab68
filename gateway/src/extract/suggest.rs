//! "Did you mean": the known name that is most like one that is not known.

/// A longer name is cut before it is compared or shown.
const MAX_NAME_CHARS: usize = 64;

/// The name as it is shown in a sentence.
pub(super) fn shortened(name: &str) -> String {
    let mut text: String = name.chars().take(MAX_NAME_CHARS).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    text
}

/// What a sentence about an unknown name ends with: the nearest known name, or all of them.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(&shortened(name), known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "none is known here".to_owned(),
        None => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("known: {}", names.join(", "))
        }
    }
}

/// The known name that is most like this one, if any is: one letter in three may be wrong, and all may be
/// written in the other case.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let wrong = |other: &&str| strsim::damerau_levenshtein(&other.to_lowercase(), &name);
    let most_wrong = (name.chars().count() / 3).max(1);
    known.iter().copied().filter(|other| wrong(other) <= most_wrong).min_by_key(wrong)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("urll" => Some("url"); "one letter too many")]
    #[test_case("URL" => Some("url"); "the other case")]
    #[test_case("lable" => Some("label"); "swapped")]
    #[test_case("branch" => Some("branches"); "singular")]
    #[test_case("colour" => None; "another word")]
    #[test_case("" => None; "empty")]
    fn nearest_name(name: &str) -> Option<&'static str> {
        nearest(name, &["url", "label", "branches"])
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(shortened(&"ä".repeat(65)), format!("{}…", "ä".repeat(64)));
        assert_eq!(shortened(&"ä".repeat(64)), "ä".repeat(64));
    }
}
