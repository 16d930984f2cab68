//! Responses that many operations share, as `/openapi.json` describes them.
//!
//! An operation names the sets that fit it: [`AnyRequest`] at least, since limits and outages concern every
//! route but those of monitoring.

use std::collections::BTreeMap;

use jobs::api::{self, DeviceError, published};
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        schema::Schema,
    },
};

/// Name and description of a header.
type Header = (&'static str, &'static str);

/// Every shared response: name, description, schema of its body, header.
const SHARED: [(&str, &str, &str, Option<Header>); 14] = [
    ("BadRequest", "The request is wrong.", "Error", None),
    ("Unauthorized", "No token, or one that is not valid.", "Error", CHALLENGE),
    ("Forbidden", "Not allowed.", "Error", None),
    ("NotFound", "There is none, or the caller may not know of it.", "Error", None),
    ("TooSlow", "The body did not come in time.", "Error", None),
    ("TooLarge", "The body is too long.", "Error", None),
    ("TooFast", TOO_FAST, "Error", RETRY_AFTER),
    ("Internal", "A defect of the service.", "Error", None),
    ("Unavailable", UNAVAILABLE, "Error", RETRY_AFTER),
    ("PublishedBadRequest", "The request is wrong.", "PublishedError", None),
    ("PublishedUnauthorized", "No token, or one that is not valid.", "PublishedError", CHALLENGE),
    ("PublishedForbidden", "Not allowed.", "PublishedError", None),
    ("PublishedTooFast", TOO_FAST, "AnyError", RETRY_AFTER),
    ("PublishedUnavailable", UNAVAILABLE, "AnyError", RETRY_AFTER),
];
const TOO_FAST: &str = "Over a limit: too many requests of this user or address in a short time, or too much of what an owner may have. Any request may be answered so.";
const UNAVAILABLE: &str = "Nothing can be stored or read at the moment; try again after Retry-After seconds.";
const RETRY_AFTER: Option<Header> = Some(("Retry-After", "Seconds."));
const CHALLENGE: Option<Header> = Some(("WWW-Authenticate", "The scheme: `Bearer`."));

/// The shared responses by their names.
pub(super) fn shared() -> impl Iterator<Item = (&'static str, Response)> {
    SHARED.into_iter().map(|(name, description, schema, header)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        let mut response =
            ResponseBuilder::new().description(description).content("application/json", content);
        if let Some((header, description)) = header {
            let kind = if header == "Retry-After" { Type::Integer } else { Type::String };
            let schema = ObjectBuilder::new().schema_type(kind);
            let header_described =
                HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
            response = response.header(header, header_described);
        }
        (name, response.build())
    })
}

/// The schemas of the shared responses' bodies, with those that they refer to; and that of a parameter, which no
/// operation brings along.
pub(super) fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![
        (api::Error::name().into_owned(), <api::Error as utoipa::PartialSchema>::schema()),
        (published::Error::name().into_owned(), <published::Error as utoipa::PartialSchema>::schema()),
        (AnyError::name().into_owned(), <AnyError as utoipa::PartialSchema>::schema()),
        (api::AuditLog::name().into_owned(), <api::AuditLog as utoipa::PartialSchema>::schema()),
    ];
    api::Error::schemas(&mut schemas);
    published::Error::schemas(&mut schemas);
    schemas
}

/// An error in the shape of the API or in that of the published interface.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
pub(crate) enum AnyError {
    Api(api::Error),
    Published(published::Error),
}

/// Why no tokens are given: as RFC 6749 has it, or that the request cannot be read.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
pub(crate) enum TokenError {
    Grant(DeviceError),
    Request(api::Error),
}

macro_rules! sets {
    ($($(#[$doc:meta])* $name:ident = $($status:literal $response:ident),*;)*) => {
        $($(#[$doc])*
        pub(crate) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let response = |name: &str| RefOr::Ref(Ref::from_response_name(name));
                BTreeMap::from([$(($status.to_owned(), response(stringify!($response)))),*])
            }
        })*
    };
}

sets! {
    /// Of every route but those of monitoring.
    AnyRequest = "429" TooFast, "500" Internal, "503" Unavailable;
    /// Of a route that needs a token, and knows its parameters.
    WithToken = "400" BadRequest, "401" Unauthorized, "429" TooFast, "500" Internal, "503" Unavailable;
    /// Of a route that needs a token with a scope, or a right besides it.
    WithScope = "400" BadRequest, "401" Unauthorized, "403" Forbidden, "429" TooFast, "500" Internal,
        "503" Unavailable;
    /// Of a route that reads a body.
    WithBody = "400" BadRequest, "408" TooSlow, "413" TooLarge;
    /// Of a route with parameters that can be wrong.
    BadRequest = "400" BadRequest;
    /// Of a route about one thing.
    NotFound = "404" NotFound;
    /// Of every route of the published interface.
    PublishedRequest = "401" PublishedUnauthorized, "403" PublishedForbidden, "429" PublishedTooFast,
        "500" PublishedUnavailable, "503" PublishedUnavailable;
    /// Of a route of the published interface that reads a body.
    PublishedBody = "400" PublishedBadRequest, "408" PublishedBadRequest, "413" PublishedBadRequest;
    /// Of a sign-in, whose limits are those of the published interface.
    SignIn = "429" PublishedTooFast, "500" PublishedUnavailable, "503" PublishedUnavailable;
}
