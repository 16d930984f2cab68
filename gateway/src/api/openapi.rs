//! `/openapi.json` and the manifest's schema, as they are published.

use axum::response::{IntoResponse, Response};
use http::header;
use jobs::manifest::MANIFEST_SCHEMA;
use serde_json::Value;

/// OpenAPI 3.1, written by hand and held to the list of routes by a test.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The document, parsed.
pub(crate) fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("a test reads it")
}

/// `GET /openapi.json`
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /schema/faas-manifest.json`
pub(crate) async fn manifest_schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], MANIFEST_SCHEMA).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_for_programs_is_described_and_every_description_is_a_route() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let for_people = ["/", "/login", "/logout", "/device", "/link", "/tokens", "/tokens/{id}/revoke"];
        let of_people = ["/jobs/", "/deliveries/", "/assets/"];
        let routes: BTreeSet<String> = crate::routes::routes()
            .iter()
            .filter(|route| !for_people.contains(&route.path))
            .filter(|route| !of_people.iter().any(|beginning| route.path.starts_with(beginning)))
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(routes, described);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    rest.extend(fields.values());
                }
                Value::Array(items) => rest.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}
