//! `/openapi.json` and the manifest's schema, as they are published.
//!
//! The description comes from the handlers and the types of the API; [`crate::routes`] puts it together
//! from the same list that the router is made of.

use std::collections::BTreeMap;

use axum::{
    Extension,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::header;
use jobs::manifest::MANIFEST_SCHEMA;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use crate::api::responses::{self, AnyRequest};

/// The description of the API as bytes; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Description(pub(crate) Bytes);

/// What of the description no route says: what the API is, how callers prove who they are, what many
/// operations answer.
pub(crate) fn preamble() -> OpenApi {
    let info = InfoBuilder::new()
        .title("gitfaas")
        .version("1")
        .description(Some("Functions as a service, straight from git."))
        .license(Some({
            let mut license = License::new("Apache-2.0");
            license.identifier = Some("Apache-2.0".to_owned());
            license
        }));
    let published = "The published interface: kept byte for byte.";
    let tag = |name: &str| TagBuilder::new().name(name);
    let tags = [
        tag("api").build(),
        tag("published").description(Some(published)).build(),
        tag("webhooks").build(),
        tag("operation").build(),
    ];
    let link = ApiKeyValue::with_description("key", "The key of a status's link; opens that job alone.");
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        )
        .security_scheme("link", SecurityScheme::ApiKey(ApiKey::Query(link)));
    for (name, response) in responses::shared() {
        components = components.response(name, response);
    }
    let components =
        components.schemas_from_iter(responses::schemas().into_iter().collect::<BTreeMap<_, _>>());
    OpenApiBuilder::new().info(info).tags(Some(tags)).components(Some(components.build())).build()
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "getOpenapi",
    responses((status = 200, description = "As asked.", body = Object, content_type = "application/json"), AnyRequest),
)]
pub(crate) async fn openapi(Extension(Description(json)): Extension<Description>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// JSON Schema of the manifest.
#[utoipa::path(
    get, path = "/schema/faas-manifest.json", tag = "operation", operation_id = "getManifestSchema",
    responses((status = 200, description = "As asked.", body = Object, content_type = "application/schema+json"), AnyRequest),
)]
pub(crate) async fn manifest_schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], MANIFEST_SCHEMA).into_response()
}
