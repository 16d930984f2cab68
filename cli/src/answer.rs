//! An answer of a gateway: read as the type that the API has, and kept as it came.
//!
//! What a newer gateway adds is no matter to the commands, and is printed with `--json` all the same.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// An answer, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer<T> {
    value: T,
    json: Value,
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Answer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        let value = T::deserialize(&json).map_err(serde::de::Error::custom)?;
        Ok(Self { value, json })
    }
}

#[cfg(test)]
mod tests {
    use jobs::api::Viewer;

    use super::*;

    #[test]
    fn what_a_newer_gateway_adds_is_kept() {
        let came = r#"{"colour":"red","email":"b@example.com"}"#;
        let answer: Answer<Viewer> = serde_json::from_str(came).unwrap();
        assert_eq!(answer.email.as_deref(), Some("b@example.com"));
        assert_eq!(serde_json::to_string(&answer).unwrap(), came);
    }
}
