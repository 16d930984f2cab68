//! A rule of HTTP's grammar that the manifest and CGI share.

/// A token of RFC 9110, section 5.6.2: methods and names of headers are tokens.
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("PROPFIND" => true)]
    #[test_case("x-a!#$%&'*+.^_`|~9" => true)]
    #[test_case("" => false ; "nothing")]
    #[test_case("GET " => false ; "a space")]
    #[test_case("a:b" => false)]
    #[test_case("GÉT" => false ; "not ASCII")]
    #[test_case("a\nb" => false ; "two lines")]
    fn tokens(text: &str) -> bool {
        is_token(text)
    }
}
