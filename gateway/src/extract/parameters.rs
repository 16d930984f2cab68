//! Rejects query parameters that an endpoint of `/api/v1` does not know.
//!
//! A layer and not the [`super::Query`] extractor, since most endpoints take no parameter and so extract
//! none. What an endpoint knows is read from the description of the API.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use serde_json::Value;

use super::suggest::{shortened, suggestion};
use crate::error::ApiError;

/// The query parameters of each endpoint, by method and path.
#[derive(Debug)]
pub(crate) struct KnownParameters {
    /// Those that an endpoint documents, with the credentials.
    documented: BTreeMap<(String, String), Arc<[String]>>,
    /// Credentials that travel in the query. They are known everywhere: where one opens nothing, the answer is
    /// that of a caller without a right, not one about spelling.
    credentials: Arc<[String]>,
}

impl KnownParameters {
    /// Reads them from an OpenAPI document: the parameters, and the security schemes whose key is in the query.
    pub(crate) fn of(document: &Value) -> Self {
        let schemes = document["components"]["securitySchemes"].as_object();
        let credentials: Arc<[String]> =
            schemes.into_iter().flat_map(|schemes| schemes.values()).filter_map(name_in_query).collect();
        let mut documented = BTreeMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let both = [&item["parameters"], &operation["parameters"]];
                let parameters = both.into_iter().filter_map(Value::as_array).flatten();
                let names = parameters.filter_map(|parameter| {
                    let reference = parameter["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
                    name_in_query(reference.and_then(|to| document.pointer(to)).unwrap_or(parameter))
                });
                let names = names.chain(credentials.iter().cloned()).collect();
                documented.insert((method.to_uppercase(), path.clone()), names);
            }
        }
        Self { documented, credentials }
    }

    /// The names that an endpoint knows, if unknown ones are rejected there: the published interface, pages
    /// and providers that come back with a sign-in send what they like.
    pub(crate) fn checked(&self, method: &Method, path: &str) -> Option<Arc<[String]>> {
        path.starts_with("/api/v1/").then(|| {
            let key = (method.as_str().to_owned(), path.to_owned());
            self.documented.get(&key).unwrap_or(&self.credentials).clone()
        })
    }
}

/// The name of a parameter, or of a security scheme's key, if it is in the query.
fn name_in_query(described: &Value) -> Option<String> {
    (described["in"] == "query").then(|| described["name"].as_str().map(str::to_owned)).flatten()
}

/// The layer of one endpoint.
pub(crate) async fn reject_unknown_parameters(
    State(known): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(sentence) = request.uri().query().and_then(|query| unknown_in(query, &known)) {
        return Err(ApiError::BadRequest(sentence));
    }
    Ok(next.run(request).await)
}

/// The sentence about the first unknown parameter.
fn unknown_in(query: &str, known: &[String]) -> Option<String> {
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let unknown = names.find(|name| !known.iter().any(|known| known == name))?;
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Some(format!("unknown query parameter `{}`; {}", shortened(&unknown), suggestion(&unknown, &known)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test_case("limit=1&state=finish" => None; "known ones")]
    #[test_case("" => None; "none")]
    #[test_case("limt=1" => Some("unknown query parameter `limt`; did you mean `limit`?".to_owned()); "a slip")]
    #[test_case("x" => Some("unknown query parameter `x`; known: `limit`, `state`".to_owned()); "another word")]
    fn unknown_parameter(query: &str) -> Option<String> {
        unknown_in(query, &["limit".to_owned(), "state".to_owned()])
    }

    #[test]
    fn an_endpoint_without_parameters_knows_none() {
        let sentence = unknown_in("x=1", &[]);
        assert_eq!(sentence.unwrap(), "unknown query parameter `x`; none is known here");
    }

    #[test]
    fn parameters_are_read_from_the_description() {
        let known = KnownParameters::of(&json!({
            "paths": {
                "/api/v1/jobs": {
                    "parameters": [{"name": "state", "in": "query"}],
                    "get": {"parameters": [{"$ref": "#/components/parameters/Limit"}, {"name": "h", "in": "header"}],
                            "security": [{"bearer": []}]},
                },
            },
            "components": {
                "parameters": {"Limit": {"name": "limit", "in": "query"}},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "link": {"type": "apiKey", "in": "query", "name": "key"},
                },
            },
        }));
        assert_eq!(*known.checked(&Method::GET, "/api/v1/jobs").unwrap(), ["state", "limit", "key"]);
        assert_eq!(*known.checked(&Method::GET, "/api/v1/whoami").unwrap(), ["key"]);
        assert_eq!(known.checked(&Method::GET, "/job/result"), None);
    }
}
