//! What a program answers with `"response": "cgi"`: header lines, a blank line, the body (RFC 3875, section 6).

use std::ops::Range;

use super::headers::end_to_end;
use crate::http_syntax::is_token;

/// The longest block of headers, in bytes with the ends of its lines: clients on Node.js take 16 KiB in all.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most characters of a wrong line that are quoted: enough to find it by.
const MAX_QUOTED_CHARS: usize = 80;
/// Statuses whose answers have no body: RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
const WITHOUT_BODY: [u16; 3] = [204, 205, 304];
/// Headers that stand once at most.
const ONCE: [&str; 3] = ["status", "content-type", "location"];

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgiResponse {
    /// What `Status` says; else 302 with `Location`, and 200 without.
    pub status: u16,
    /// The headers that are passed on, in their order. Names are tokens; values are text without control
    /// characters but tabs.
    pub headers: Vec<(String, String)>,
    /// Where the body lies in standard output; empty where the status has none.
    pub body: Range<usize>,
}

/// Why standard output is no answer: a failure of the function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Nothing, or the blank line at once.
    #[error("the answer has no header")]
    NoHeader,
    /// The output ends among the headers.
    #[error("the answer has no blank line after its headers; the last one is {line}")]
    NoBlankLine {
        /// The last line, in quotes.
        line: String,
    },
    /// More than [`MAX_HEADER_BYTES`].
    #[error("the headers of the answer are longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    /// A line that is wrong.
    #[error("line {number} of the answer {fault}: {line}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// The line, in quotes, cut and without what a terminal would not print.
        line: String,
        /// What is wrong with it.
        fault: LineFault,
    },
}

/// What is wrong with a header line of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Not a name, a colon and a value in printable text.
    #[error("is not a header")]
    NotAHeader,
    /// Not three digits from 200 to 599, and a reason if need be.
    #[error("is not a status from 200 to 599")]
    NotAStatus,
    /// `Location` names nothing.
    #[error("names no location")]
    NoLocation,
    /// A second line of a header that may stand once.
    #[error("stands twice")]
    Repeated,
}

/// Reads what a program wrote. Lines end with LF or CRLF; a header is never folded onto another line.
///
/// `Content-Length` and headers of one connection are not passed on: the gateway makes its own. `Location` without
/// `Status` is 302, of a path as of a whole URL: nothing is asked again on the client's behalf.
///
/// # Errors
/// The output is no header block with a blank line after it.
pub fn response(stdout: &[u8]) -> Result<CgiResponse, ResponseError> {
    let (lines, body_from) = split(stdout)?;
    let mut status = None;
    let mut headers = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let wrong = |fault| ResponseError::Line { number: index + 1, line: quoted(line), fault };
        let (name, value) = header(line).ok_or_else(|| wrong(LineFault::NotAHeader))?;
        let lower = name.to_ascii_lowercase();
        if ONCE.contains(&lower.as_str()) && seen.contains(&lower) {
            return Err(wrong(LineFault::Repeated));
        }
        match lower.as_str() {
            "status" => {
                status = Some(status_code(value).ok_or_else(|| wrong(LineFault::NotAStatus))?);
            }
            "location" if value.is_empty() => return Err(wrong(LineFault::NoLocation)),
            _ => headers.push((name.to_owned(), value.to_owned())),
        }
        seen.push(lower);
    }
    let usual = if seen.iter().any(|name| name == "location") { 302 } else { 200 };
    let status = status.unwrap_or(usual);
    let mut headers = end_to_end(headers);
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    let body = if WITHOUT_BODY.contains(&status) { stdout.len() } else { body_from };
    Ok(CgiResponse { status, headers, body: body..stdout.len() })
}

/// The header lines without their ends, and where the body begins.
fn split(stdout: &[u8]) -> Result<(Vec<&[u8]>, usize), ResponseError> {
    let block = &stdout[..stdout.len().min(MAX_HEADER_BYTES)];
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    while let Some(length) = block[at..].iter().position(|b| *b == b'\n') {
        let line = &block[at..at + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length + 1;
        match (line, lines.as_slice()) {
            ([], []) => return Err(ResponseError::NoHeader),
            ([], _) => return Ok((lines, at)),
            (_, _) => lines.push(line),
        }
    }
    let is_cut = stdout.len() > MAX_HEADER_BYTES;
    let unfinished = Some(&block[at..]).filter(|line| !line.is_empty() && !is_cut);
    let all = lines.into_iter().chain(unfinished);
    // A program that knows nothing of headers is told so of its first line.
    for (index, line) in all.clone().enumerate() {
        if header(line).is_none() {
            let fault = LineFault::NotAHeader;
            return Err(ResponseError::Line { number: index + 1, line: quoted(line), fault });
        }
    }
    match all.last() {
        _ if is_cut => Err(ResponseError::TooLong),
        Some(line) => Err(ResponseError::NoBlankLine { line: quoted(line) }),
        None => Err(ResponseError::NoHeader),
    }
}

/// Name and value of a header: nothing between name and colon (RFC 9112, section 5.1), no control characters,
/// since a lone CR ends a line for some.
fn header(line: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    let is_printable = !value.contains(|c: char| c.is_control() && c != '\t');
    (is_token(name) && is_printable).then_some((name, value))
}

/// `404` or `404 Not Found`. One below 200 is no answer to a request.
fn status_code(value: &str) -> Option<u16> {
    let (code, _reason) = value.split_once(' ').unwrap_or((value, ""));
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    code.parse().ok().filter(|code| is_code && (200..=599).contains(code))
}

/// The beginning of a line in quotes, in printable ASCII.
fn quoted(line: &[u8]) -> String {
    // A character has four bytes at most.
    let beginning = String::from_utf8_lossy(&line[..line.len().min(4 * MAX_QUOTED_CHARS)]);
    let shown: String = beginning.chars().take(MAX_QUOTED_CHARS).flat_map(char::escape_default).collect();
    let is_whole = beginning.chars().count() <= MAX_QUOTED_CHARS && line.len() <= 4 * MAX_QUOTED_CHARS;
    format!("\"{shown}\"{}", if is_whole { "" } else { "…" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    /// Status, headers and body in a few lines.
    fn read(stdout: &str) -> String {
        let CgiResponse { status, headers, body } = response(stdout.as_bytes()).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{status}{headers} | {}", &stdout[body])
    }

    #[test_case("Content-Type: text/html\n\n<p>" => "200 Content-Type=text/html | <p>" ; "LF")]
    #[test_case("Content-Type: text/html\r\n\r\n<p>\r\n" => "200 Content-Type=text/html | <p>\r\n" ; "CRLF")]
    #[test_case("A: 1\r\nB: 2\n\r\nx" => "200 A=1 B=2 | x" ; "both")]
    #[test_case("A: 1\n\n" => "200 A=1 | " ; "no body")]
    #[test_case("A: 1\n\n\n\n" => "200 A=1 | \n\n" ; "blank lines in the body")]
    #[test_case("Status: 404 Not Found\nContent-Type: a/b\n\nx" => "404 Content-Type=a/b | x" ; "a status")]
    #[test_case("STATUS:201\n\n" => "201 | " ; "a status alone, in another case")]
    #[test_case("Status: 299 \n\n" => "299 | " ; "a status without a reason")]
    #[test_case("Location: /x\n\n" => "302 Location=/x | " ; "a local location")]
    #[test_case("Location: https://example.com/\n\n" => "302 Location=https://example.com/ | " ; "an absolute location")]
    #[test_case("Location: /x\nStatus: 201\n\nx" => "201 Location=/x | x" ; "a location with a status")]
    #[test_case("A:\t 1 2 \t\nA: 3\n\n" => "200 A=1 2 A=3 | " ; "blanks around, and a name twice")]
    #[test_case("A:\n\n" => "200 A= | " ; "an empty value")]
    #[test_case("A: b:c\n\n" => "200 A=b:c | " ; "a colon in the value")]
    #[test_case("A: é\n\n" => "200 A=é | " ; "not ASCII")]
    #[test_case("Content-Length: 9\nConnection: x-a\nX-A: 1\nTransfer-Encoding: chunked\nB: 1\n\nx" => "200 B=1 | x" ; "what the gateway makes itself")]
    #[test_case("Status: 204\n\nx" => "204 | " ; "a status without a body")]
    #[test_case("Status: 304\n\nx" => "304 | " ; "not modified")]
    fn answers(stdout: &str) -> String {
        read(stdout)
    }

    #[test_case("" => "the answer has no header" ; "nothing")]
    #[test_case("\n<p>" => "the answer has no header" ; "a blank line at once")]
    #[test_case("\r\n" => "the answer has no header" ; "a blank line at once, CRLF")]
    #[test_case("3.14159\n" => r#"line 1 of the answer is not a header: "3.14159""# ; "plain text")]
    #[test_case("hello" => r#"line 1 of the answer is not a header: "hello""# ; "plain text without an end")]
    #[test_case("HTTP/1.1 200 OK\r\nA: 1\r\n\r\n" => r#"line 1 of the answer is not a header: "HTTP/1.1 200 OK""# ; "a status line")]
    #[test_case("A: 1\n" => r#"the answer has no blank line after its headers; the last one is "A: 1""# ; "no blank line")]
    #[test_case("A: 1\nB: 2" => r#"the answer has no blank line after its headers; the last one is "B: 2""# ; "half a block")]
    #[test_case("A: 1\n B\n\n" => r#"line 2 of the answer is not a header: " B""# ; "folded")]
    #[test_case("A : 1\n\n" => r#"line 1 of the answer is not a header: "A : 1""# ; "a blank before the colon")]
    #[test_case(": 1\n\n" => r#"line 1 of the answer is not a header: ": 1""# ; "no name")]
    #[test_case("A: 1\rSet-Cookie: x\n\n" => r#"line 1 of the answer is not a header: "A: 1\rSet-Cookie: x""# ; "a lone CR")]
    #[test_case("Location: /\u{1b}[2J\n\n" => r#"line 1 of the answer is not a header: "Location: /\u{1b}[2J""# ; "control characters")]
    #[test_case("Status: 100 Continue\n\n" => r#"line 1 of the answer is not a status from 200 to 599: "Status: 100 Continue""# ; "an interim status")]
    #[test_case("Status: 101\n\n" => r#"line 1 of the answer is not a status from 200 to 599: "Status: 101""# ; "another protocol")]
    #[test_case("Status: 600\n\n" => r#"line 1 of the answer is not a status from 200 to 599: "Status: 600""# ; "a status that does not exist")]
    #[test_case("Status: OK\n\n" => r#"line 1 of the answer is not a status from 200 to 599: "Status: OK""# ; "no number")]
    #[test_case("Status: +20\n\n" => r#"line 1 of the answer is not a status from 200 to 599: "Status: +20""# ; "a sign")]
    #[test_case("A: 1\nStatus: 200\nstatus: 404\n\n" => r#"line 3 of the answer stands twice: "status: 404""# ; "two statuses")]
    #[test_case("Location: /a\nLocation: /b\n\n" => r#"line 2 of the answer stands twice: "Location: /b""# ; "two locations")]
    #[test_case("Location:\n\n" => r#"line 1 of the answer names no location: "Location:""# ; "no location")]
    fn wrong_answers(stdout: &str) -> String {
        response(stdout.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_line_that_is_not_utf_8_or_too_long_is_quoted_in_part() {
        let error = response(b"A: \xff\xfe\n\n").unwrap_err().to_string();
        assert_eq!(error, r#"line 1 of the answer is not a header: "A: \u{fffd}\u{fffd}""#);
        let error = response("é".repeat(5000).as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("line 1 of the answer is not a header: \"{}\"…", r"\u{e9}".repeat(80)));
    }

    #[test]
    fn a_header_block_has_an_end() {
        let line = format!("A: {}\n", "x".repeat(1020));
        let longest = format!("{}A: {}\n\n", line.repeat(15), "x".repeat(1019));
        assert_eq!(longest.len(), MAX_HEADER_BYTES);
        assert_eq!(response(longest.as_bytes()).unwrap().body, MAX_HEADER_BYTES..MAX_HEADER_BYTES);
        let longer = format!("B: 1\n{longest}");
        assert_eq!(response(longer.as_bytes()), Err(ResponseError::TooLong));
        assert_eq!(response(format!("A: {}", "x".repeat(1 << 20)).as_bytes()), Err(ResponseError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_a_program_writes_is_an_answer_or_an_error_that_can_be_shown(
            stdout in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                r"((Status|Location|Connection|[A-Za-z-]{0,5}|.{0,3}):?[ \t]?.{0,12}\r?\n){0,6}\r?\n?.{0,9}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            match response(&stdout) {
                Ok(CgiResponse { status, headers, body }) => {
                    prop_assert!((200..=599).contains(&status));
                    prop_assert_eq!(body.end, stdout.len());
                    prop_assert!(body.start <= body.end);
                    for (name, value) in headers {
                        prop_assert!(is_token(&name));
                        prop_assert!(!value.contains(['\r', '\n', '\0']));
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(text.len() < 2000 && !text.contains(char::is_control), "{text}");
                }
            }
        }

        #[test]
        fn what_is_written_by_the_rules_is_read_as_it_was_meant(
            status in 206u16..=303,
            headers in proptest::collection::vec(("X-[A-Za-z0-9]{1,9}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..8),
            body in proptest::collection::vec(any::<u8>(), 0..100),
            end in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}{end}")).collect();
            let mut stdout = format!("Status: {status} Any{end}{lines}{end}").into_bytes();
            stdout.extend_from_slice(&body);
            let read = response(&stdout).unwrap();
            prop_assert_eq!((read.status, read.headers, &stdout[read.body]), (status, headers, &body[..]));
        }
    }
}
