//! Finds credentials of ours where a request is passed on to somebody else.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header};
use jobs::{
    accounts::TOKEN_PREFIX,
    sessions::{COOKIE_PREFIX, REFRESH_PREFIX},
};

use crate::auth::identity::Access;

/// What tokens of ours that are no JWT begin with.
const PREFIXES: [&str; 3] = [TOKEN_PREFIX, COOKIE_PREFIX, REFRESH_PREFIX];
/// Base64 as `Basic` has it, its end with or without padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Access {
    /// Whether `Authorization` shows a token of ours in whatever scheme: valid, expired or of no use to its reader
    /// today, it is nobody else's to know.
    pub(crate) fn shows_own_token(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        values.any(|value| {
            shows(&String::from_utf8_lossy(value.as_bytes()), &|jwt| self.bearer_tokens.issued(jwt))
        })
    }
}

/// Whether a text, or what a word of it is the Base64 of, holds a token of ours.
fn shows(text: &str, issued: &dyn Fn(&str) -> bool) -> bool {
    let holds = |text: &str| PREFIXES.iter().any(|prefix| text.contains(prefix)) || words(text).any(issued);
    let decoded = |word: &str| BASIC.decode(word).is_ok_and(|bytes| holds(&String::from_utf8_lossy(&bytes)));
    holds(text) || words(text).any(decoded)
}

/// The parts of a text that consist of what tokens and Base64 consist of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "._-~+/".contains(c);
    text.split(move |c: char| !is_of_word(c)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("Bearer gft_00_ab" => true)]
    #[test_case("gfs_x" => true ; "a session without a scheme")]
    #[test_case("Token token=\"gfr_x\"" => true ; "as a parameter")]
    #[test_case("Basic eDpnZnRfMDBfYWI=" => true ; "as a password")]
    #[test_case("Basic eDpnZnRfMDBfYWI" => true ; "without padding")]
    #[test_case("Bearer a.ours.b" => true ; "a JWT")]
    #[test_case("Basic eDphLm91cnMuYg==" => true ; "a JWT as a password")]
    #[test_case("Bearer a.foreign.b" => false ; "a JWT of somebody else")]
    #[test_case("Basic YTpi" => false ; "another password")]
    #[test_case("" => false ; "nothing")]
    fn what_is_ours(text: &str) -> bool {
        shows(text, &|word| word == "a.ours.b")
    }
}
