//! Extractors of request bodies and query strings, and the sentences that answer malformed ones.
//!
//! * [`body`] reads the bytes, within bounds.
//! * [`json`] parses them into a tree that keeps what serde would lose.
//! * [`deserialize`] makes a request type of the tree; unknown fields are errors.
//! * [`fault`] is what can be wrong with a value, and its sentence.
//! * [`parameters`] rejects unknown query parameters.
//!
//! No error message of a library reaches a caller from here.

mod body;
mod deserialize;
mod fault;
mod json;
mod parameters;
mod suggest;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts},
    response::{IntoResponse as _, Response},
};
pub(crate) use body::{discard, read};
use deserialize::{Deserializer, UnknownFields};
use fault::Source;
use http::{Request, request::Parts};
use json::Json;
pub(crate) use json::without_byte_order_mark;
pub(crate) use parameters::{KnownParameters, reject_unknown_parameters};
use serde::de::DeserializeOwned;

use crate::{error::ApiError, http::MAX_BODY_BYTES};

/// A JSON body, whatever its content type is: clients of the published interface send none.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), MAX_BODY_BYTES).await?;
        Ok(Self(json(&bytes)?))
    }
}

/// A form, read as every other body is. A malformed one is answered in axum's words.
pub(crate) struct Form<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY_BYTES).await.map_err(ApiError::into_response)?;
        let whole = Request::from_parts(parts, Body::from(bytes));
        let form = axum::Form::from_request(whole, state).await;
        form.map(|axum::Form(form)| Self(form)).map_err(|rejection| rejection.into_response())
    }
}

/// The parameters of a query string. Unknown ones are ignored here: a right reads the key of a link from
/// the same query string as the handler its own parameters. See [`reject_unknown_parameters`].
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(query(parts.uri.query().unwrap_or_default())?))
    }
}

/// Reads a request type from JSON. An unknown field is an error.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let tree = json::parse(bytes).map_err(ApiError::BadRequest)?;
    let read = T::deserialize(Deserializer::new(tree, UnknownFields::Rejected));
    read.map_err(|fault| ApiError::BadRequest(fault.sentence(Source::Body)))
}

/// Reads a type from a query string.
fn query<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    let fields = pairs.map(|(name, value)| (name.into_owned(), Json::Parameter(value.into_owned())));
    let tree = Json::Object(fields.collect());
    let read = T::deserialize(Deserializer::new(tree, UnknownFields::Ignored));
    read.map_err(|fault| ApiError::BadRequest(fault.sentence(Source::Query)))
}

#[cfg(test)]
mod tests;
