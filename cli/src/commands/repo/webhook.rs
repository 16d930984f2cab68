//! What became of a repository's webhook at its forge, in words. The registration stands in any case.

use jobs::api::{OpenEnum, WebhookResult};

use crate::terminal;

/// What the answer says of it, if anything.
type Told = OpenEnum<WebhookResult>;

/// Whether a webhook was to be there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Made,
    Removed,
}

/// After a registration; also what is left to be done.
pub(super) fn registered(told: Option<&Told>) -> String {
    match (done(told), failed(told)) {
        (Some(done), _) => done.to_owned(),
        (None, Some(why)) => {
            format!("the webhook was not made at the forge: {why}\nenter URL and secret there")
        }
        (None, None) => "enter URL and secret as a webhook at the forge".to_owned(),
    }
}

/// After a change; `None` if it was not about the webhook.
pub(super) fn changed(told: Option<&Told>, wish: Wish) -> Option<String> {
    if let Some(done) = done(told) {
        return Some(done.to_owned());
    }
    let why = failed(told)?;
    Some(match wish {
        Wish::Made => format!("the webhook was not made at the forge: {why}"),
        Wish::Removed => format!("the webhook is still at the forge: {why}"),
    })
}

/// After a removal.
pub(super) fn left(told: Option<&Told>) -> String {
    match told.and_then(OpenEnum::known) {
        Some(WebhookResult::Removed) => "its webhook is gone from the forge".to_owned(),
        Some(WebhookResult::Error(why)) => {
            format!("its webhook is still at the forge: {}", terminal::safe(why))
        }
        Some(WebhookResult::Created | WebhookResult::Exists) | None => {
            "its webhook can be deleted at the forge".to_owned()
        }
    }
}

/// What was done; `None` where nothing was, or could not be.
fn done(told: Option<&Told>) -> Option<&'static str> {
    match told?.known()? {
        WebhookResult::Created => Some("the webhook was made at the forge"),
        WebhookResult::Exists => Some("the webhook was at the forge already; it has this secret now"),
        WebhookResult::Removed => Some("the webhook was removed at the forge"),
        WebhookResult::Error(_) => None,
    }
}

/// Why it could not be done.
fn failed(told: Option<&Told>) -> Option<String> {
    match told?.known()? {
        WebhookResult::Created | WebhookResult::Exists | WebhookResult::Removed => None,
        WebhookResult::Error(why) => Some(terminal::safe(why).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;

    fn read(told: Value) -> Option<Told> {
        serde_json::from_value(told).unwrap()
    }

    #[test_case(json!("created") => "the webhook was made at the forge")]
    #[test_case(json!("exists") => "the webhook was at the forge already; it has this secret now")]
    #[test_case(json!({"error": "403"}) => "the webhook was not made at the forge: 403\nenter URL and secret there")]
    #[test_case(json!(null) => "enter URL and secret as a webhook at the forge" ; "not tried")]
    fn of_a_registration(told: Value) -> String {
        registered(read(told).as_ref())
    }

    #[test_case(json!("created"), Wish::Made => Some("the webhook was made at the forge".to_owned()))]
    #[test_case(json!({"error": "403"}), Wish::Made => Some("the webhook was not made at the forge: 403".to_owned()))]
    #[test_case(json!("removed"), Wish::Removed => Some("the webhook was removed at the forge".to_owned()))]
    #[test_case(json!({"error": "403"}), Wish::Removed => Some("the webhook is still at the forge: 403".to_owned()))]
    #[test_case(json!(null), Wish::Made => None ; "not about it")]
    fn of_a_change(told: Value, wish: Wish) -> Option<String> {
        changed(read(told).as_ref(), wish)
    }

    #[test_case(json!("removed") => "its webhook is gone from the forge")]
    #[test_case(json!({"error": "403"}) => "its webhook is still at the forge: 403")]
    #[test_case(json!(null) => "its webhook can be deleted at the forge" ; "nobody made it")]
    fn of_a_removal(told: Value) -> String {
        left(read(told).as_ref())
    }
}
