//! Why a sign-in failed, in a message for the user; what needs the operator is logged.

use crate::{
    error::ApiError,
    login::{http::HttpError, id_token::IdTokenError},
    usage::NoMoreOwners,
};

/// The longest text of a provider that is shown, in characters.
const MAX_PRINTABLE: usize = 200;

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("login is not configured")]
    NotConfigured,
    #[error("there is no such provider; configured: {0}")]
    NoSuchProvider(String),
    #[error("this sign-in was not begun in this browser, or too long ago; begin again")]
    UnknownAttempt,
    #[error("this sign-in was used before; begin again")]
    AlreadyUsed,
    #[error("{}", refusal(provider, code, description))]
    Refused { provider: String, code: String, description: String },
    #[error("{provider} sent the browser back without a code")]
    NoCode { provider: String },
    #[error("the answer came from another provider than {provider}")]
    AnotherIssuer { provider: String },
    #[error("{provider} cannot be reached at the moment; try again later")]
    Unavailable {
        provider: String,
        #[source]
        source: HttpError,
    },
    #[error("the answer of {provider} cannot be understood: {why}")]
    Malformed { provider: String, why: String },
    #[error("{provider}: {source}")]
    Token {
        provider: String,
        #[source]
        source: IdTokenError,
    },
    #[error("{provider} has no verified e-mail address of yours; verify one there, then sign in again")]
    Unverified { provider: String },
    #[error("the e-mail address that {provider} names is none: it is too long, or cannot be printed")]
    InvalidAddress { provider: String },
    #[error("{email} may not sign in here; ask whoever runs this service")]
    NotAllowed { email: String },
    #[error("this account at {provider} belongs to another user here")]
    LinkedElsewhere { provider: String },
    #[error("sign in first, then link a further account")]
    LinkWithoutSession,
    #[error(transparent)]
    OwnerLimit(#[from] NoMoreOwners),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The errors of RFC 6749, section 4.1.2.1, as messages.
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

/// External text, made short, printable and one line.
pub(crate) fn printable(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_PRINTABLE).collect()
}

/// Refuses an address that cannot be shown unchanged: the changed address would be an unverified one.
pub(crate) fn check_address(email: String, provider: &str) -> Result<String, LoginError> {
    match printable(&email) == email {
        true => Ok(email),
        false => Err(LoginError::InvalidAddress { provider: provider.to_owned() }),
    }
}

impl From<jobs::bucket::BucketError> for LoginError {
    fn from(error: jobs::bucket::BucketError) -> Self {
        Self::Api(error.into())
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        let sentence = error.to_string();
        match error {
            LoginError::NotConfigured => Self::NotConfigured("login is not configured"),
            LoginError::Api(error) => error,
            LoginError::Unavailable { source, .. } => Self::BadGateway(sentence, source.into()),
            LoginError::Malformed { provider, why } => {
                Self::BadGateway(sentence, anyhow::anyhow!("{provider}: {why}"))
            }
            LoginError::NotAllowed { .. }
            | LoginError::Unverified { .. }
            | LoginError::InvalidAddress { .. }
            | LoginError::OwnerLimit(_) => Self::Forbidden(sentence),
            LoginError::LinkedElsewhere { .. } => Self::Conflict(sentence),
            LoginError::LinkWithoutSession => {
                Self::Unauthorized("sign in first, then link a further account")
            }
            LoginError::Token { provider, source } => {
                // Tampering, or provider and configuration do not match: logged for the operator.
                tracing::warn!(provider, reason = %source, "id_token rejected");
                Self::BadRequest(sentence)
            }
            LoginError::NoSuchProvider(_)
            | LoginError::UnknownAttempt
            | LoginError::AlreadyUsed
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
        assert_eq!(printable("a\nb\u{1b}[2J"), "ab[2J");
        assert_eq!(printable(&"x".repeat(1000)).len(), MAX_PRINTABLE);
    }

    #[test_case("ada@example.com" => true)]
    #[test_case("ada@example.com\n" => false ; "a newline")]
    #[test_case("ada@exam\u{7f}ple.com" => false ; "a control character inside")]
    #[test_case(&format!("ada@{}@evil.example", "x".repeat(MAX_PRINTABLE)) => false ; "too long")]
    fn an_address_is_taken_as_it_is_or_not_at_all(email: &str) -> bool {
        check_address(email.to_owned(), "Google").is_ok()
    }
}
