//! Answers for tests: the fields that a test is about, over those that a gateway always sends.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An id of anything.
pub(crate) const ID: &str = "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10";

/// A job.
pub(crate) fn job<T: DeserializeOwned>(given: Value) -> T {
    let always = json!({
        "id": ID, "state": "pending", "url": "https://example.com/r.git", "label": "default", "trigger": "call",
        "attempt": 0, "created_at": "2026-01-02T03:04:05Z", "timings_ms": {},
    });
    over(always, given)
}

/// A repository, as its owner sees it.
pub(crate) fn repo<T: DeserializeOwned>(given: Value) -> T {
    let always = json!({
        "id": ID, "url": "https://example.com/r.git", "forge": "gitea", "branches": [], "paths": [], "events": [],
        "links": "key", "forks": "approve", "label": "default", "viewers": [], "posts": true, "skip_ci": "status",
        "pull_requests": "run", "webhook_url": "https://faas.example.com/webhooks/0198c9f4",
    });
    over(always, given)
}

/// A delivery.
pub(crate) fn delivery<T: DeserializeOwned>(given: Value) -> T {
    let always = json!({
        "id": "f382f1de", "hook": ID, "event": "push", "received_at": "2026-01-02T03:04:05Z", "jobs": [],
    });
    over(always, given)
}

fn over<T: DeserializeOwned>(mut always: Value, given: Value) -> T {
    let fields = always.as_object_mut().expect("an answer has fields");
    fields.extend(given.as_object().expect("a test names fields").clone());
    serde_json::from_value(always).expect("this is such an answer")
}
