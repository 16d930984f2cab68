//! The request of a call, as its program is told it.

use http::{HeaderMap, Uri, header, request::Parts, uri::Authority};
use jobs::cgi::{self, RequestError};

use crate::{
    error::ApiError,
    functions::problem::CallError,
    http::{client_ip, credentials::own_cookie_names},
};

/// What is known of a call besides its request.
pub(super) struct CallFacts<'a> {
    /// The part of the path that names the function, and what follows it.
    pub(super) script_name: &'a str,
    pub(super) path: &'a str,
    /// Who called with a token.
    pub(super) user: Option<String>,
    /// Whether `Authorization` is the function's own affair.
    pub(super) keep_authorization: bool,
    /// Whether the client uses TLS.
    pub(super) is_https: bool,
}

/// The request as it is stored and told to the program: without what is the gateway's own.
pub(super) fn of(parts: &Parts, body_bytes: u64, facts: CallFacts<'_>) -> Result<cgi::Request, CallError> {
    let (server_name, server_port) = server(&parts.uri, &parts.headers, facts.is_https);
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        headers.push((name.to_string(), cgi::header_value(name.as_str(), value.as_bytes()).map_err(bad)?));
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let request = cgi::Request {
        method: parts.method.to_string(),
        path: facts.path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        script_name: facts.script_name.to_owned(),
        headers,
        content_type: content_type.map(str::to_owned),
        content_length: (body_bytes > 0 || parts.headers.contains_key(header::CONTENT_LENGTH))
            .then_some(body_bytes),
        server_name,
        server_port,
        is_https: facts.is_https,
        remote_addr: client_ip::address().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        remote_user: facts.user,
        keep_authorization: facts.keep_authorization,
    };
    let own_cookies = own_cookie_names();
    let request = request.stripped(&own_cookies.iter().map(String::as_str).collect::<Vec<_>>());
    // What cannot be told is refused before anything is stored.
    cgi::variables(&request, &[]).map_err(bad)?;
    Ok(request)
}

fn bad(error: RequestError) -> CallError {
    match error.status() {
        431 => CallError::HeadersTooLarge(error.to_string()),
        _ => ApiError::BadRequest(error.to_string()).into(),
    }
}

/// The host and port that were asked for.
fn server(uri: &Uri, headers: &HeaderMap, is_https: bool) -> (String, u16) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok()).or_else(|| uri.authority().cloned());
    let usual = if is_https { 443 } else { 80 };
    match authority {
        Some(authority) => (authority.host().to_owned(), authority.port_u16().unwrap_or(usual)),
        None => (String::new(), usual),
    }
}
