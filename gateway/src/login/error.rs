//! Why somebody was not let in, in a sentence for him; what only the operator can mend goes to the log.

use crate::{
    error::ApiError,
    login::{http::Away, id_token::Refusal},
    usage::NoMoreOwners,
};

/// The longest word of a provider that is shown, in characters.
const MAX_SAID: usize = 200;

/// Why a sign-in did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("login is not configured")]
    NotConfigured,
    #[error("there is no such provider; configured: {0}")]
    NoSuchProvider(String),
    #[error("this sign-in was not begun in this browser, or too long ago; begin again")]
    NotBegunHere,
    #[error("this sign-in was used before; begin again")]
    Used,
    #[error("{}", refusal(provider, code, description))]
    Refused { provider: String, code: String, description: String },
    #[error("{provider} sent the browser back without a code")]
    NoCode { provider: String },
    #[error("the answer came from another provider than {provider}")]
    AnotherIssuer { provider: String },
    #[error("{provider} cannot be reached at the moment; try again later")]
    Away {
        provider: String,
        #[source]
        source: Away,
    },
    #[error("the answer of {provider} cannot be understood: {why}")]
    Malformed { provider: String, why: String },
    #[error("{provider}: {source}")]
    Token {
        provider: String,
        #[source]
        source: Refusal,
    },
    #[error("{provider} has no verified e-mail address of yours; verify one there, then sign in again")]
    Unverified { provider: String },
    #[error("the e-mail address that {provider} names is none: it is too long, or cannot be printed")]
    OddAddress { provider: String },
    #[error("{email} may not sign in here; ask whoever runs this service")]
    NotAllowed { email: String },
    #[error("this account at {provider} belongs to another user here")]
    ToAnother { provider: String },
    #[error("sign in first, then link a further account")]
    LinkWithoutSession,
    #[error(transparent)]
    NoPlace(#[from] NoMoreOwners),
    #[error(transparent)]
    Inside(#[from] ApiError),
}

/// The errors of RFC 6749, section 4.1.2.1, in words.
fn refusal(provider: &str, code: &str, description: &str) -> String {
    match code {
        "access_denied" => format!("{provider} did not let you in, or you said no there"),
        "temporarily_unavailable" | "server_error" => {
            format!("{provider} has trouble at the moment; try again later")
        }
        "bad_verification_code" | "invalid_grant" => {
            format!("{provider} does not accept the code any more; begin again")
        }
        _ if description.is_empty() => format!("{provider} refused: {code}"),
        _ => format!("{provider} refused: {description} ({code})"),
    }
}

/// Words from outside: short, on one line, printable.
pub(crate) fn said(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect()
}

/// An address as it was verified. One that could only be shown changed is refused, for what it would be
/// changed to, nobody verified.
pub(crate) fn address(email: String, provider: &str) -> Result<String, LoginError> {
    match said(&email) == email {
        true => Ok(email),
        false => Err(LoginError::OddAddress { provider: provider.to_owned() }),
    }
}

impl From<jobs::bucket::BucketError> for LoginError {
    fn from(error: jobs::bucket::BucketError) -> Self {
        Self::Inside(error.into())
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        let sentence = error.to_string();
        match error {
            LoginError::NotConfigured => Self::NotConfigured("login is not configured"),
            LoginError::Inside(error) => error,
            LoginError::Away { source, .. } => Self::Elsewhere(sentence, source.into()),
            LoginError::Malformed { provider, why } => {
                Self::Elsewhere(sentence, anyhow::anyhow!("{provider}: {why}"))
            }
            LoginError::NotAllowed { .. }
            | LoginError::Unverified { .. }
            | LoginError::OddAddress { .. }
            | LoginError::NoPlace(_) => Self::Forbidden(sentence),
            LoginError::ToAnother { .. } => Self::Conflict(sentence),
            LoginError::LinkWithoutSession => {
                Self::Unauthorized("sign in first, then link a further account")
            }
            LoginError::Token { provider, source } => {
                // Somebody tampers, or provider and configuration do not fit: the operator should know.
                tracing::warn!(provider, reason = %source, "an id_token was refused");
                Self::BadRequest(sentence)
            }
            LoginError::NoSuchProvider(_)
            | LoginError::NotBegunHere
            | LoginError::Used
            | LoginError::Refused { .. }
            | LoginError::NoCode { .. }
            | LoginError::AnotherIssuer { .. } => Self::BadRequest(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("access_denied", "" => "Google did not let you in, or you said no there")]
    #[test_case("server_error", "x" => "Google has trouble at the moment; try again later")]
    #[test_case("invalid_scope", "no such scope" => "Google refused: no such scope (invalid_scope)")]
    #[test_case("interaction_required", "" => "Google refused: interaction_required")]
    fn errors_of_a_provider_in_words(code: &str, description: &str) -> String {
        refusal("Google", code, description)
    }

    #[test]
    fn words_from_outside_are_short_and_on_one_line() {
        assert_eq!(said("a\nb\u{1b}[2J"), "ab[2J");
        assert_eq!(said(&"x".repeat(1000)).len(), MAX_SAID);
    }

    #[test_case("ada@example.com" => true)]
    #[test_case("ada@example.com\n" => false ; "a newline")]
    #[test_case("ada@exam\u{7f}ple.com" => false ; "a control character inside")]
    #[test_case(&format!("ada@{}@evil.example", "x".repeat(MAX_SAID)) => false ; "too long")]
    fn an_address_is_taken_as_it_is_or_not_at_all(email: &str) -> bool {
        address(email.to_owned(), "Google").is_ok()
    }
}
