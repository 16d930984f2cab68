//! The Common Gateway Interface (RFC 3875): what a program is told of an HTTP request, and what it answers.
//!
//! A request becomes variables ([`variables()`]), its body is standard input; standard output is either the body
//! of the answer or has headers before it ([`answer()`], [`response()`]). Everything here is a pure function: who may call, what
//! is stored and how long it takes is decided elsewhere. What a request says is never trusted: names of variables
//! are made of it in one way only, and its values reach no shell, path or log.

mod answer;
mod headers;
mod request;
mod response;
mod variables;

pub use answer::{CONFINING_HEADERS, answer, confined, server_timing, status_of};
pub use request::{Request, RequestError, header_value};
pub use response::{CgiResponse, MAX_HEADER_BYTES, ResponseError, response};
pub use variables::{MAX_VARIABLES_BYTES, variables};
