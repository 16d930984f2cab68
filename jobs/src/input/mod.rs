//! A job's input: what its program reads from standard input, and the request that it came with.
//!
//! It lies in the stream INPUTS and is stored before the job's record is written. The messages of a job have the
//! subjects `inputs.<owner>.<job>.<n>`, `n` counted from 0, and [`MESSAGE_BYTES`] each but for the last. Joined
//! they are:
//!
//! | bytes | |
//! |---|---|
//! | [`LENGTH_BYTES`] | the length of the head, big endian |
//! | as many as that | the head: [`InputHead`] as JSON |
//! | the rest | the body: standard input, exact to the byte |
//!
//! The record describes it ([`JobInput`]): lengths and digests of both, which are signed. So a reader knows how many
//! messages there are before it reads one, and is given either what a gateway stored or an error.

mod store;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{cgi, record::JobInput};
pub use store::{InputError, Inputs, StoredInput};

/// The longest body that any setting allows, in bytes: what forges' webhooks send at most.
pub const MAX_BYTES: u64 = 25 << 20;
/// The longest head, in bytes: 64 KiB of headers and a query, with what JSON escapes.
pub const MAX_HEAD_BYTES: u64 = 256 << 10;
/// The longest message, in bytes: half of what NATS takes unless it is told otherwise.
pub const MESSAGE_BYTES: u64 = 512 << 10;
/// Characters of a path, method or media type that the record shows: it stays under 32 KiB.
const MAX_SHOWN_CHARS: usize = 512;
/// Before the head stands its length.
pub const LENGTH_BYTES: u64 = 4;
/// What the server keeps besides of each message, in bytes: its subject and its own record of it.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 192;

/// The request that an input came with; a call over REST has nothing but the type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputHead {
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The HTTP request of a call of a function, which becomes variables of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<cgi::Request>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The request that it came with.
    pub head: InputHead,
    /// What the program reads.
    pub body: Bytes,
}

/// A text as the record shows it.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

impl InputHead {
    /// Of a call over HTTP.
    pub fn of_request(request: cgi::Request) -> Self {
        Self { content_type: request.content_type.clone(), request: Some(request), other: Map::new() }
    }
}

impl Input {
    /// A body of this type, without a request.
    pub fn new(body: impl Into<Bytes>, content_type: &str) -> Self {
        let head = InputHead { content_type: Some(content_type.to_owned()), ..InputHead::default() };
        Self { head, body: body.into() }
    }

    /// What the record says of it.
    pub fn describe(&self) -> JobInput {
        let head = self.encoded_head();
        let request = self.head.request.as_ref();
        JobInput {
            bytes: self.body.len() as u64,
            sha256: hex::encode(Sha256::digest(&self.body)),
            head_bytes: head.len() as u64,
            head_sha256: hex::encode(Sha256::digest(&head)),
            content_type: self.head.content_type.as_deref().map(shown),
            method: request.map(|request| shown(&request.method)),
            path: request.map(|request| shown(&format!("{}{}", request.script_name, request.path))),
        }
    }

    fn encoded_head(&self) -> Vec<u8> {
        serde_json::to_vec(&self.head).expect("texts are JSON")
    }

    /// The messages that it is stored in, in their order.
    fn messages(&self) -> Vec<Bytes> {
        let head = self.encoded_head();
        // A head is shorter than MAX_HEAD_BYTES.
        let mut first = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        first.extend_from_slice(&head);
        let largest = usize::try_from(MESSAGE_BYTES).unwrap_or(usize::MAX);
        let begun = self.body.len().min(largest.saturating_sub(first.len()));
        first.extend_from_slice(&self.body[..begun]);
        let mut messages = vec![Bytes::from(first)];
        let mut rest = self.body.slice(begun..);
        while !rest.is_empty() {
            messages.push(rest.split_to(rest.len().min(largest)));
        }
        messages
    }

    /// The input that these messages joined are, if they are what `described` tells.
    fn read(joined: &Bytes, described: &JobInput) -> Option<Self> {
        let (head, body) = parts(joined, described)?;
        let is_described = hex::encode(Sha256::digest(&head)) == described.head_sha256
            && body.len() as u64 == described.bytes
            && hex::encode(Sha256::digest(&body)) == described.sha256;
        let head = serde_json::from_slice(&head).ok()?;
        is_described.then_some(Self { head, body })
    }
}

/// The head, and as much of the body as is there.
fn parts(joined: &Bytes, described: &JobInput) -> Option<(Bytes, Bytes)> {
    let (length, _) = joined.split_first_chunk()?;
    let head_bytes = u32::from_be_bytes(*length);
    if u64::from(head_bytes) != described.head_bytes {
        return None;
    }
    let from = length.len();
    let to = from + usize::try_from(head_bytes).ok()?;
    (to <= joined.len()).then(|| (joined.slice(from..to), joined.slice(to..)))
}

impl JobInput {
    /// How many messages it lies in.
    fn messages(&self) -> u64 {
        (LENGTH_BYTES + self.head_bytes + self.bytes).div_ceil(MESSAGE_BYTES)
    }

    /// What it takes up, in bytes, with what the server keeps besides.
    pub fn stored_bytes(&self) -> u64 {
        LENGTH_BYTES + self.head_bytes + self.bytes + self.messages() * MESSAGE_OVERHEAD_BYTES
    }

    /// Whether it is one that a gateway would store: a record that was tampered with may say anything.
    fn is_possible(&self) -> bool {
        self.bytes <= MAX_BYTES && self.head_bytes <= MAX_HEAD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn request(body: Vec<u8>) -> Input {
        let head = InputHead {
            content_type: Some("application/json".to_owned()),
            request: Some(cgi::Request {
                method: "POST".to_owned(),
                path: "/a%20b".to_owned(),
                query: Some("b=%20".to_owned()),
                script_name: "/f/pi".to_owned(),
                headers: vec![("x-b".to_owned(), "2".to_owned()), ("x-b".to_owned(), "1".to_owned())],
                content_type: None,
                content_length: None,
                server_name: "faas.example.com".to_owned(),
                server_port: 443,
                is_https: true,
                remote_addr: "192.0.2.7".parse().unwrap(),
                remote_user: None,
                keep_authorization: false,
            }),
            ..InputHead::default()
        };
        Input { head, body: body.into() }
    }

    #[test]
    fn an_input_as_it_is_stored() {
        let stored = Input::new("1 2\n", "text/plain").messages();
        assert_eq!(stored, ["\0\0\0\x1d{\"content_type\":\"text/plain\"}1 2\n"]);
        let stored = request(Vec::new()).messages();
        insta::assert_snapshot!(String::from_utf8_lossy(&stored[0][4..]), @r#"{"content_type":"application/json","request":{"method":"POST","path":"/a%20b","query":"b=%20","script_name":"/f/pi","headers":[["x-b","2"],["x-b","1"]],"server_name":"faas.example.com","server_port":443,"is_https":true,"remote_addr":"192.0.2.7"}}"#);
    }

    #[test]
    fn a_record_shows_the_beginning_of_what_is_long() {
        let mut input = request(Vec::new());
        assert_eq!(input.describe().path.as_deref(), Some("/f/pi/a%20b"));
        input.head.request.as_mut().unwrap().path = format!("/{}", "é".repeat(60_000));
        assert_eq!(input.describe().path.unwrap().chars().count(), MAX_SHOWN_CHARS);
    }

    #[test]
    fn a_head_keeps_what_a_newer_program_added() {
        let text = r#"{"invented_later":7}"#;
        let head: InputHead = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&head).unwrap(), text);
    }

    #[test_case(0 => 1 ; "nothing")]
    #[test_case(1000 => 1 ; "a kilobyte")]
    #[test_case(MESSAGE_BYTES => 2 ; "the head before it")]
    #[test_case(1 << 20 => 3 ; "a megabyte")]
    fn messages_of_a_body(bytes: u64) -> usize {
        let body: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let input = request(body);
        let (described, messages) = (input.describe(), input.messages());
        assert!(messages.iter().all(|message| message.len() as u64 <= MESSAGE_BYTES));
        assert_eq!(described.messages(), messages.len() as u64);
        let joined = Bytes::from(messages.concat());
        assert_eq!(Input::read(&joined, &described), Some(input));
        let sum = described.stored_bytes() - described.messages() * MESSAGE_OVERHEAD_BYTES;
        assert_eq!(sum, joined.len() as u64);
        messages.len()
    }

    #[test]
    fn what_is_not_as_described_is_not_read() {
        let input = request(b"abc".to_vec());
        let (described, joined) = (input.describe(), Bytes::from(input.messages().concat()));
        let other = |body: &[u8]| Bytes::from(request(body.to_vec()).messages().concat());
        assert_eq!(Input::read(&other(b"abd"), &described), None);
        assert_eq!(Input::read(&other(b"abcd"), &described), None);
        assert_eq!(Input::read(&joined.slice(..joined.len() - 1), &described), None);
        assert_eq!(Input::read(&joined.slice(..2), &described), None);
        let head = JobInput { head_sha256: described.sha256.clone(), ..described.clone() };
        assert_eq!(Input::read(&joined, &head), None);
        let longer = JobInput { head_bytes: u64::from(u32::MAX), ..described };
        assert_eq!(Input::read(&joined, &longer), None);
    }
}
