//! An HTTP request as a gateway took it for a function, and why one cannot be told to a program.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::headers;

/// A request for a function. It is stored beside the call's input, and a worker makes variables of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path after the function, as it came: escaped, and empty or beginning with a slash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The query as it came, without the question mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The path of the function itself, such as `/f/pi@v1`; empty where the function has a host of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script_name: String,
    /// The headers in their order, one pair for each line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The media type of the body, as its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The length of the body in bytes; absent of a request without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// The host that was asked for, without a port.
    pub server_name: String,
    /// The port that was asked for.
    pub server_port: u16,
    /// Whether it came over TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_https: bool,
    /// Who sent it, as far as trusted proxies say.
    pub remote_addr: IpAddr,
    /// The user who called, of a call with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_user: Option<String>,
    /// Whether the program is told `Authorization`: only where that is no token of ours, which is so of public and
    /// signed functions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_authorization: bool,
}

impl Request {
    /// The same with the headers alone that the program is told: what is stored. `own_cookies` are the names of
    /// the gateway's cookies.
    #[must_use]
    pub fn stripped(&self, own_cookies: &[&str]) -> Self {
        Self { headers: headers::for_program(self, own_cookies), ..self.clone() }
    }
}

/// Why a program cannot be told a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Variables are text.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The variable or the header.
        what: String,
    },
    /// No variable can hold one.
    #[error("{what} holds a NUL character")]
    Nul {
        /// The variable.
        what: String,
    },
    /// More than [`super::MAX_VARIABLES_BYTES`].
    #[error("path, query and headers come to {bytes} bytes of variables, over the most of {most}", most = super::MAX_VARIABLES_BYTES)]
    TooLong {
        /// What they come to.
        bytes: usize,
    },
}

impl RequestError {
    /// The status of the answer: it is the client's mistake.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotUtf8 { .. } | Self::Nul { .. } => 400,
            // RFC 6585, section 5.
            Self::TooLong { .. } => 431,
        }
    }
}

/// The value of a header of a request as text.
///
/// # Errors
/// It is not UTF-8.
pub fn header_value(name: &str, value: &[u8]) -> Result<String, RequestError> {
    let text = std::str::from_utf8(value);
    text.map(str::to_owned).map_err(|_| RequestError::NotUtf8 { what: format!("the header {name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_as_it_is_stored() {
        let least = r#"{"method":"GET","server_name":"faas.example.com","server_port":443,"remote_addr":"192.0.2.7"}"#;
        let request: Request = serde_json::from_str(least).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), least);
        let request = Request {
            path: "/a%2Fb".to_owned(),
            query: Some("c=%20".to_owned()),
            script_name: "/f/pi".to_owned(),
            headers: vec![("x-b".to_owned(), "2".to_owned()), ("x-b".to_owned(), "1".to_owned())],
            content_type: Some("text/plain".to_owned()),
            content_length: Some(3),
            is_https: true,
            remote_user: Some("ada@example.com".to_owned()),
            keep_authorization: true,
            ..request
        };
        let stored = serde_json::to_string(&request).unwrap();
        insta::assert_snapshot!(stored, @r#"{"method":"GET","path":"/a%2Fb","query":"c=%20","script_name":"/f/pi","headers":[["x-b","2"],["x-b","1"]],"content_type":"text/plain","content_length":3,"server_name":"faas.example.com","server_port":443,"is_https":true,"remote_addr":"192.0.2.7","remote_user":"ada@example.com","keep_authorization":true}"#);
        assert_eq!(serde_json::from_str::<Request>(&stored).unwrap(), request);
    }

    #[test]
    fn what_a_program_is_not_told_is_not_stored() {
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let least = r#"{"method":"GET","server_name":"h","server_port":1,"remote_addr":"::1"}"#;
        let request = Request {
            headers: vec![
                line("Authorization", "Bearer secret"),
                line("Cookie", "theme=dark; __Host-session=secret"),
                line("Proxy", "http://evil.example"),
                line("X-Kept", "1"),
            ],
            ..serde_json::from_str(least).unwrap()
        };
        let stripped = request.stripped(&["__Host-session"]);
        assert_eq!(stripped.headers, [line("Cookie", "theme=dark"), line("X-Kept", "1")]);
        assert_eq!(stripped.stripped(&["__Host-session"]), stripped);
    }

    #[test]
    fn a_header_that_is_no_text_is_the_clients_mistake() {
        assert_eq!(header_value("x-a", "é".as_bytes()), Ok("é".to_owned()));
        let error = header_value("x-a", b"\xe9").unwrap_err();
        assert_eq!((error.to_string().as_str(), error.status()), ("the header x-a is not UTF-8", 400));
    }
}
