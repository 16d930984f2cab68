//! Results and logs as bytes: what strangers wrote, sent so that no browser runs it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use jobs::{Job, Ledger, api};

use crate::{
    api::responses::{BadRequest, NotFound, WithScope},
    auth::{identity::Access, rights::ReadJob},
    error::ApiError,
    http::connections::SendGuard,
    state::Gateway,
};

/// The result, byte for byte.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/result", tag = "api", operation_id = "getResult",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "Standard output of the run.", content((String = "text/plain"), (Vec<u8> = "application/octet-stream"))),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = []), ("link" = [])),
)]
pub(crate) async fn result(
    ReadJob { entry, access: job_access, .. }: ReadJob,
    State(access): State<Arc<Access>>,
    State(ledger): State<Ledger>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let counted = access.count_link_read(&job_access)?;
    let job = entry.value;
    let described = job.status.result.as_ref().ok_or(ApiError::NotFound("result"))?;
    let bytes = ledger.results.fetch(job.spec.id, job.status.attempt, described).await?;
    Ok(counting(strange(&headers, bytes), counted))
}

/// The log so far.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/log", tag = "api", operation_id = "getLog",
    params(("id" = String, Path, description = "The job."), ("Range" = Option<String>, Header, description = "By bytes.")),
    responses(
        (status = 200, description = "The log.", body = String, content_type = "text/plain"),
        (status = 206, description = "The range.", body = String, content_type = "text/plain", headers(("Content-Range" = String, description = "Which bytes, of how many."))),
        (status = 416, description = "The range lies outside.", body = api::Error, headers(("Content-Range" = String, description = "How many bytes there are."))),
        WithScope,
        BadRequest,
        NotFound,
    ),
    security(("bearer" = []), ("link" = [])),
)]
pub(crate) async fn log(
    ReadJob { entry, access, .. }: ReadJob,
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let counted = gateway.access.count_link_read(&access)?;
    let bytes = whole_log(&gateway, &entry.value).await?;
    let total = bytes.len() as u64;
    let Some((first, last)) = range(&headers, total)? else {
        return Ok(counting(plain(bytes), counted));
    };
    // A log has at most 2 MiB and a line, so its length fits everywhere.
    let part = bytes.slice(usize::try_from(first).unwrap_or(0)..=usize::try_from(last).unwrap_or(0));
    let mut response = plain(part);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let range = format!("bytes {first}-{last}/{total}").parse().expect("digits are a header");
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    Ok(counting(response, counted))
}

/// An answer that counts until it was sent, where it counts.
pub(crate) fn counting(mut response: Response, counted: Option<SendGuard>) -> Response {
    if let Some(counted) = counted {
        response.extensions_mut().insert(counted);
    }
    response
}

/// The log of the attempt that the record names, as far as it is stored.
pub(crate) async fn whole_log(gateway: &Gateway, job: &Job) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    if job.status.attempt > 0 {
        let mut reader = gateway.ledger.log(job.spec.id, job.status.attempt).await?;
        while let Some(chunk) = reader.next().await? {
            bytes.extend_from_slice(&chunk.bytes);
        }
    }
    Ok(bytes.freeze())
}

/// Text where it is text; never anything that a browser would interpret.
fn strange(headers: &HeaderMap, bytes: Bytes) -> Response {
    let wants_bytes = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/octet-stream"));
    let is_text = !wants_bytes && std::str::from_utf8(&bytes).is_ok();
    let mut response = plain(bytes);
    if !is_text {
        let octets = http::HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, octets);
    }
    response
}

fn plain(bytes: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, bytes).into_response()
}

/// The first and last byte of a `Range` header. Several ranges, or another unit, are ignored, as
/// RFC 9110 allows.
fn range(headers: &HeaderMap, total: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let wanted = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.min(total.saturating_sub(1))),
        (Some(first), None) if last.trim().is_empty() => (first, total.saturating_sub(1)),
        (None, Some(0)) if first.trim().is_empty() => return Err(ApiError::Range(total)),
        (None, Some(length)) if first.trim().is_empty() => {
            (total.saturating_sub(length), total.saturating_sub(1))
        }
        _ => return Ok(None),
    };
    if wanted.0 >= total { Err(ApiError::Range(total)) } else { Ok(Some(wanted)) }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("bytes=0-3" => Ok(Some((0, 3))))]
    #[test_case("bytes=4-" => Ok(Some((4, 9))))]
    #[test_case("bytes=-2" => Ok(Some((8, 9))) ; "the last two")]
    #[test_case("bytes=-20" => Ok(Some((0, 9))) ; "more than there is")]
    #[test_case("bytes=5-99" => Ok(Some((5, 9))) ; "cut to the end")]
    #[test_case("bytes=10-" => Err(()) ; "behind the end")]
    #[test_case("bytes=-0" => Err(()) ; "nothing")]
    #[test_case("bytes=3-1" => Ok(None) ; "backwards")]
    #[test_case("bytes=0-1,3-4" => Ok(None) ; "several")]
    #[test_case("lines=0-1" => Ok(None) ; "another unit")]
    fn ranges_of_ten_bytes(text: &str) -> Result<Option<(u64, u64)>, ()> {
        let headers = HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]);
        range(&headers, 10).map_err(|_| ())
    }

    #[test]
    fn nothing_of_an_empty_log_can_be_asked_for() {
        let headers = HeaderMap::from_iter([(header::RANGE, "bytes=0-".parse().unwrap())]);
        assert!(range(&headers, 0).is_err());
    }
}
