//! What became of a repository's webhook at its forge, in words. The registration stands in any case.

use serde_json::Value;

use crate::terminal;

/// Whether a webhook was to be there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Made,
    Removed,
}

/// After a registration; also what is left to be done.
pub(super) fn registered(told: &Value) -> String {
    match (done(told), told["error"].as_str()) {
        (Some(done), _) => done.to_owned(),
        (None, Some(why)) => format!(
            "the webhook was not made at the forge: {}\nenter URL and secret there",
            terminal::safe(why)
        ),
        (None, None) => "enter URL and secret as a webhook at the forge".to_owned(),
    }
}

/// After a change; `None` if it was not about the webhook.
pub(super) fn changed(told: &Value, wish: Wish) -> Option<String> {
    if let Some(done) = done(told) {
        return Some(done.to_owned());
    }
    let why = terminal::safe(told["error"].as_str()?);
    Some(match wish {
        Wish::Made => format!("the webhook was not made at the forge: {why}"),
        Wish::Removed => format!("the webhook is still at the forge: {why}"),
    })
}

/// After a removal.
pub(super) fn left(told: &Value) -> String {
    match (told.as_str(), told["error"].as_str()) {
        (Some("removed"), _) => "its webhook is gone from the forge".to_owned(),
        (_, Some(why)) => format!("its webhook is still at the forge: {}", terminal::safe(why)),
        (Some(_) | None, None) => "its webhook can be deleted at the forge".to_owned(),
    }
}

/// What was done; `None` where nothing was, or could not be.
fn done(told: &Value) -> Option<&'static str> {
    match told.as_str()? {
        "created" => Some("the webhook was made at the forge"),
        "exists" => Some("the webhook was at the forge already; it has this secret now"),
        "removed" => Some("the webhook was removed at the forge"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test_case(json!("created") => "the webhook was made at the forge")]
    #[test_case(json!("exists") => "the webhook was at the forge already; it has this secret now")]
    #[test_case(json!({"error": "403"}) => "the webhook was not made at the forge: 403\nenter URL and secret there")]
    #[test_case(json!(null) => "enter URL and secret as a webhook at the forge" ; "not tried")]
    fn of_a_registration(told: Value) -> String {
        registered(&told)
    }

    #[test_case(json!("created"), Wish::Made => Some("the webhook was made at the forge".to_owned()))]
    #[test_case(json!({"error": "403"}), Wish::Made => Some("the webhook was not made at the forge: 403".to_owned()))]
    #[test_case(json!("removed"), Wish::Removed => Some("the webhook was removed at the forge".to_owned()))]
    #[test_case(json!({"error": "403"}), Wish::Removed => Some("the webhook is still at the forge: 403".to_owned()))]
    #[test_case(json!(null), Wish::Made => None ; "not about it")]
    fn of_a_change(told: Value, wish: Wish) -> Option<String> {
        changed(&told, wish)
    }

    #[test_case(json!("removed") => "its webhook is gone from the forge")]
    #[test_case(json!({"error": "403"}) => "its webhook is still at the forge: 403")]
    #[test_case(json!(null) => "its webhook can be deleted at the forge" ; "nobody made it")]
    fn of_a_removal(told: Value) -> String {
        left(&told)
    }
}
