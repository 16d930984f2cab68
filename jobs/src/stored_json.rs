//! A JSON value in a record, with the type that this program reads it as.
//!
//! What [`crate::Stored`] is for texts: a value that an older or newer program stored and that is not of the
//! type is still read, compared and written back unchanged. It is parsed when it is asked for, so that whoever
//! only passes a record on pays nothing.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// A JSON value as a record holds it. Equality and serialization are those of the JSON.
pub struct StoredJson<T> {
    json: Value,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> StoredJson<T> {
    /// The value; `None` when the JSON is not of this type.
    pub fn get(&self) -> Option<T> {
        T::deserialize(&self.json).ok()
    }
}

impl<T: Serialize> From<&T> for StoredJson<T> {
    /// # Panics
    /// The value is no JSON: a map with keys that are no texts.
    fn from(value: &T) -> Self {
        Self { json: serde_json::to_value(value).expect("records hold JSON"), of: PhantomData }
    }
}

impl<T> StoredJson<T> {
    /// What a record holds, whatever it is.
    pub fn from_json(json: Value) -> Self {
        Self { json, of: PhantomData }
    }

    /// The value of a field that is there, also where it is `null`.
    pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Value::deserialize(deserializer).map(|json| Some(Self::from_json(json)))
    }
}

impl<T> Clone for StoredJson<T> {
    fn clone(&self) -> Self {
        Self::from_json(self.json.clone())
    }
}

impl<T> PartialEq for StoredJson<T> {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl<T> fmt::Debug for StoredJson<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.json, f)
    }
}

impl<T> Serialize for StoredJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for StoredJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from_json)
    }
}
