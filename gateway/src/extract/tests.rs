//! What is answered to each kind of malformed request.

use jobs::api::{ListJobs, NewToken, RepoRequest, SubmitJob};
use serde::Deserialize;
use test_case::test_case;

use super::*;

fn sentence<T>(read: Result<T, ApiError>) -> String {
    match read {
        Ok(_) => "taken".to_owned(),
        Err(ApiError::BadRequest(sentence)) => sentence,
        Err(other) => format!("another error: {other}"),
    }
}

/// A request with another object in it.
#[derive(Deserialize)]
struct Outer {
    #[expect(dead_code, reason = "only read")]
    inner: Option<Inner>,
    #[expect(dead_code, reason = "only read")]
    inners: Option<Vec<Inner>>,
}

#[derive(Deserialize)]
struct Inner {
    #[expect(dead_code, reason = "only read")]
    size: u8,
}

#[test_case(r#"{"url": "https://example.com/r"}"# => "taken"; "well formed")]
#[test_case("\u{feff}{\"url\": \"x\"}" => "taken"; "a byte order mark")]
#[test_case("{}" => "taken"; "empty object")]
#[test_case(r#"{"url": null}"# => "taken"; "null for what may be absent")]
#[test_case("" => "the body is empty; it must be a JSON object"; "no body")]
#[test_case("\u{feff} " => "the body is empty; it must be a JSON object"; "a byte order mark alone")]
#[test_case("{" => "the body is not JSON: it ends too early"; "broken off")]
#[test_case("{\n  'url': 1}" => "the body is not JSON: see line 2, column 3"; "other quotes")]
#[test_case("url=x" => "the body is not JSON: see line 1, column 1"; "a form")]
#[test_case("{} {}" => "the body is not JSON: see line 1, column 4"; "two objects")]
#[test_case("[]" => "the body must be a JSON object"; "an empty list")]
#[test_case(r#"["https://example.com/r"]"# => "the body must be a JSON object"; "a list for an object")]
#[test_case("7" => "the body must be a JSON object"; "a number for an object")]
#[test_case(r#""x""# => "the body must be a JSON object"; "a string for an object")]
#[test_case("null" => "the body must be a JSON object"; "null for an object")]
#[test_case(r#"{"urll": "x"}"# => "unknown field `urll`; did you mean `url`?"; "a slip")]
#[test_case(r#"{"Name": "x"}"# => "unknown field `Name`; did you mean `name`?"; "another case")]
#[test_case(r#"{"url": "x", "url": "y"}"# => "`url` is there twice"; "twice")]
#[test_case(r#"{"name": {}}"# => "name: must be a string"; "an object for a string")]
#[test_case(r#"{"name": 7}"# => "name: must be a string"; "a number for a string")]
#[test_case(r#"{"webhook": "yes"}"# => "webhook: must be true or false"; "a string for a boolean")]
#[test_case(r#"{"token_must_work": null}"# => "token_must_work: must be true or false"; "null for a boolean")]
#[test_case(r#"{"branches": "main"}"# => "branches: must be a list"; "a string for a list")]
#[test_case(r#"{"branches": {"0": "main"}}"# => "branches: must be a list"; "an object for a list")]
#[test_case(r#"{"branches": ["main", 7]}"# => "branches[1]: must be a string"; "an item of another type")]
#[test_case(r#"{"branches": ["a["]}"# => "branches: \"a[\" is not a glob"; "no glob")]
#[test_case(r#"{"events": ["pushh"]}"# => "events[0]: unknown value `pushh`; did you mean `push`?"; "an unknown word")]
#[test_case(r#"{"links": ["login"]}"# => "links: must be a string"; "a list for a word")]
fn a_registration(body: &str) -> String {
    sentence(json::<RepoRequest>(body.as_bytes()))
}

#[test_case(r#"{"repo": "x", "branch": "dev"}"# => "unknown field `branch`; known: `repo`, `ref`, `args`, `input`, `input_base64`, `name`, `label`"; "no name is like it")]
#[test_case(r#"{"repo": "x", "Args": []}"# => "unknown field `Args`; did you mean `args`?"; "another case")]
#[test_case("{}" => "`repo` is missing"; "missing")]
#[test_case(r#"{"repo": "x", "args": ["1", 2]}"# => "args[1]: must be a string"; "a number among arguments")]
fn a_call(body: &str) -> String {
    sentence(json::<SubmitJob>(body.as_bytes()))
}

#[test_case(r#"{"scopes": ["repo"]}"# => "scopes[0]: unknown value `repo`; did you mean `repos`?"; "an unknown scope")]
#[test_case(r#"{"expires_in": 90}"# => "expires_in: must be a string"; "a number for a duration")]
fn a_token(body: &str) -> String {
    sentence(json::<NewToken>(body.as_bytes()))
}

#[test_case(r#"{"inner": {"size": 1}, "inners": [{"size": 2}]}"# => "taken"; "well formed")]
#[test_case(r#"{"inner": {"sise": 1}}"# => "unknown field `inner.sise`; did you mean `size`?"; "unknown")]
#[test_case(r#"{"inners": [{"size": 1}, {"width": 1}]}"# => "unknown field `inners[1].width`; known: `size`"; "unknown in a list")]
#[test_case(r#"{"inner": {}}"# => "`inner.size` is missing"; "missing")]
#[test_case(r#"{"inner": [1]}"# => "inner: must be an object"; "a list for an object")]
#[test_case(r#"{"inner": {"size": 256}}"# => "inner.size: out of range"; "too large")]
#[test_case(r#"{"inner": {"size": -1}}"# => "inner.size: must be a whole number"; "negative")]
#[test_case(r#"{"inner": {"size": 1.5}}"# => "inner.size: must be a whole number"; "a fraction")]
fn a_nested_request(body: &str) -> String {
    sentence(json::<Outer>(body.as_bytes()))
}

#[test_case("limit=7&state=finish" => "taken"; "well formed")]
#[test_case("" => "taken"; "empty")]
#[test_case("key=x" => "taken"; "one of another extractor")]
#[test_case("limit=ten" => "limit: must be a whole number"; "a word for a number")]
#[test_case("limit=" => "limit: must be a whole number"; "nothing for a number")]
#[test_case("limit=-1" => "limit: must be a whole number"; "negative")]
#[test_case("limit=1&limit=2" => "`limit` is there twice"; "twice")]
#[test_case("state=finished" => "state: unknown value `finished`; did you mean `finish`?"; "an unknown word")]
#[test_case("cursor=x" => "cursor: not an id"; "no id")]
fn a_query(text: &str) -> String {
    sentence(query::<ListJobs>(text))
}

#[test]
fn a_long_name_is_not_repeated_in_full() {
    let body = format!(r#"{{"{}": 1}}"#, "x".repeat(10_000));
    let sentence = sentence(json::<SubmitJob>(body.as_bytes()));
    assert!(sentence.len() < 200, "{sentence}");
}
