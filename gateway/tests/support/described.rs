//! The tests' requests: every answer to one must be as `/openapi.json` describes it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use reqwest::{Body, Method, Response, ResponseBuilderExt as _, header};
use serde::Serialize;
use serde_json::{Value, json};

/// The description, as the gateway publishes it.
static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&gateway::openapi_json()).unwrap());

/// Validators of answers, made when first needed.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> =
    LazyLock::new(Mutex::default);

/// A request whose answer is compared with the description.
#[derive(Debug)]
#[must_use]
pub(crate) struct RequestBuilder(reqwest::RequestBuilder);

impl From<reqwest::RequestBuilder> for RequestBuilder {
    fn from(request: reqwest::RequestBuilder) -> Self {
        Self(request)
    }
}

impl RequestBuilder {
    pub(crate) fn header(self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name.as_ref(), value.as_ref()))
    }

    pub(crate) fn headers(self, headers: header::HeaderMap) -> Self {
        Self(self.0.headers(headers))
    }

    pub(crate) fn bearer_auth(self, token: impl std::fmt::Display) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0.body(body))
    }

    pub(crate) fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        Self(self.0.form(form))
    }

    pub(crate) fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        Self(self.0.query(query))
    }

    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// With another client than the one that made it.
    pub(crate) async fn send_with(self, client: &reqwest::Client) -> reqwest::Result<Response> {
        executed(client, self.0.build()?).await
    }

    pub(crate) async fn send(self) -> reqwest::Result<Response> {
        let (client, request) = self.0.build_split();
        executed(&client, request?).await
    }
}

async fn executed(client: &reqwest::Client, request: reqwest::Request) -> reqwest::Result<Response> {
    let (method, url) = (request.method().clone(), request.url().clone());
    let response = client.execute(request).await?;
    // What a redirect led to is the answer to another request.
    if *response.url() != url {
        return Ok(response);
    }
    described(&method, response).await
}

/// Panics unless the answer is described: its status, its content type, and its body if that is JSON.
pub(crate) async fn described(method: &Method, response: Response) -> reqwest::Result<Response> {
    let path = response.url().path().trim_end_matches('/').to_owned();
    let Some((template, operation)) = operation(method, &path) else { return Ok(response) };
    let status = response.status();
    let place = format!("{method} {template}: {}", status.as_u16());
    let answer = &operation["responses"][status.as_str()];
    assert!(!answer.is_null(), "{place} is not described");
    let answer = answer["$ref"].as_str().map_or(answer, |reference| {
        DESCRIPTION.pointer(reference.strip_prefix('#').unwrap()).expect("a reference leads somewhere")
    });
    let Some(contents) = answer["content"].as_object() else { return Ok(response) };
    let kind = response.headers().get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
    let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
    let content = contents.get(&kind);
    assert!(content.is_some(), "{place}: {kind:?} is not described");
    let schema = content.and_then(|content| content.get("schema"));
    let Some(schema) = schema.filter(|_| kind == "application/json" && method != Method::HEAD) else {
        return Ok(response);
    };
    let mut copy = http::Response::builder().status(status).url(response.url().clone());
    *copy.headers_mut().unwrap() = response.headers().clone();
    let bytes = response.bytes().await?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
    let wrong: Vec<String> = validator(&place, schema).iter_errors(&body).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{place}: {wrong:?} in {body}");
    Ok(copy.body(bytes).unwrap().into())
}

fn validator(place: &str, schema: &Value) -> Arc<jsonschema::Validator> {
    let mut known = VALIDATORS.lock();
    let made = known.entry(place.to_owned()).or_insert_with(|| {
        let whole = json!({ "allOf": [schema], "components": DESCRIPTION["components"] });
        Arc::new(jsonschema::validator_for(&whole).unwrap())
    });
    Arc::clone(made)
}

/// The operation that a request is for, and its path as it is described; the one with the most literal parts.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let name = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let paths = DESCRIPTION["paths"].as_object().unwrap().iter();
    let fitting = paths.filter_map(|(template, item)| Some((literals(template, path)?, template, item)));
    let (_, template, item) = fitting.max_by_key(|(literals, ..)| *literals)?;
    Some((template, item.get(&name)?))
}

/// How many parts of a path are as the template has them; `None` if one differs.
fn literals(template: &str, path: &str) -> Option<usize> {
    let (wanted, found): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    if wanted.len() != found.len() {
        return None;
    }
    let mut literals = 0;
    for (wanted, found) in wanted.into_iter().zip(found) {
        match wanted.starts_with('{') {
            true if found.is_empty() => return None,
            true => {}
            false if wanted == found => literals += 1,
            false => return None,
        }
    }
    Some(literals)
}
