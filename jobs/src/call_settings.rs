//! Who may call a registration's function: what its owner said.
//!
//! It is the registration's and never the manifest's: whoever may push could open the function otherwise.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Secrets that a function has at once: the one in use, and the one that takes its place.
pub const MAX_SIGNING_SECRETS: usize = 2;

/// Who may call a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CallAccess {
    /// Its owner and viewers, with a token.
    #[default]
    Token,
    /// Everybody, where the operator allows it.
    Public,
    /// Whoever signs with one of its secrets, such as a forge or a payment service.
    Signed,
}

impl CallAccess {
    fn is_token(&self) -> bool {
        match self {
            Self::Token => true,
            Self::Public | Self::Signed => false,
        }
    }
}

/// A secret that callers sign with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// What it is called: the secret itself is never shown.
    pub id: String,
    /// By a gateway's clock; for people.
    pub added_at: Timestamp,
    /// The secret, sealed.
    pub sealed: String,
}

/// What a registration says of calls, among its other fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSettings {
    /// Who may call it.
    #[serde(default, skip_serializing_if = "CallAccess::is_token")]
    pub access: CallAccess,
    /// Whether it may be called at all: the switch that turns a function off at once.
    #[serde(default = "enabled", skip_serializing_if = "Clone::clone")]
    pub enabled: bool,
    /// What callers may sign with, oldest first; [`MAX_SIGNING_SECRETS`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_secrets: Vec<SigningSecret>,
}

fn enabled() -> bool {
    true
}

impl Default for CallSettings {
    fn default() -> Self {
        Self { access: CallAccess::Token, enabled: true, signing_secrets: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    /// Flattened beside what is not known, as in a registration.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stored {
        #[serde(flatten)]
        calls: CallSettings,
        #[serde(flatten)]
        other: Map<String, Value>,
    }

    #[test]
    fn what_nobody_set_is_stored_as_before() {
        let stored = json!({"invented_later": 7});
        let read: Stored = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(read.calls, CallSettings::default());
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    }

    #[test]
    fn settings_as_they_are_stored() {
        let stored = json!({
            "access": "signed", "enabled": false, "invented_later": 7,
            "signing_secrets": [{"id": "ab12", "added_at": "2026-01-02T03:04:05Z", "sealed": "k.x"}],
        });
        let read: Stored = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!((read.calls.access, read.calls.enabled), (CallAccess::Signed, false));
        assert_eq!(read.other.keys().collect::<Vec<_>>(), ["invented_later"]);
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    }
}
