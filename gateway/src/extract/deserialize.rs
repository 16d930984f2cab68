//! Makes a request type of a tree, with [`Fault`] as the error.
//!
//! The errors of `serde_json` are English sentences about Rust types. Here the type that is asked for decides
//! what is said of another one, and a list is not taken for a struct.

use std::vec;

use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{
    fault::{Fault, Step},
    json::Json,
};

/// What becomes of a field that the type does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownFields {
    /// It is a fault.
    Rejected,
    /// It is skipped.
    Ignored,
}

/// Reads one value.
pub(super) struct Deserializer {
    value: Json,
    unknown_fields: UnknownFields,
}

impl Deserializer {
    pub(super) fn new(value: Json, unknown_fields: UnknownFields) -> Self {
        Self { value, unknown_fields }
    }

    fn fields(self, fields: Vec<(String, Json)>) -> Fields {
        Fields { rest: fields.into_iter(), value: None, unknown_fields: self.unknown_fields }
    }
}

/// Reads a whole number: as JSON has it, or as text in a query.
macro_rules! whole_numbers {
    ($($method:ident: $visit:ident $as:ident $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number: Option<$type> = match &self.value {
                Json::Number(number) => number.$as(),
                Json::Parameter(text) => text.parse().ok(),
                Json::Null | Json::Bool(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
            };
            visitor.$visit(number.ok_or_else(|| Fault::wrong_type("a whole number"))?)
        })*
    };
}

/// Reads what JSON has one way of saying.
macro_rules! floats {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = match &self.value {
                Json::Number(number) => number.as_f64(),
                Json::Parameter(text) => text.parse().ok(),
                Json::Null | Json::Bool(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
            };
            visitor.visit_f64(number.ok_or_else(|| Fault::wrong_type("a number"))?)
        })*
    };
}

macro_rules! texts {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.visit_string(text(self.value)?)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Deserializer {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(value),
            Json::Number(_) if self.is_natural() => self.deserialize_u64(visitor),
            Json::Number(ref number) if number.is_i64() => self.deserialize_i64(visitor),
            Json::Number(_) => self.deserialize_f64(visitor),
            Json::Text(text) | Json::Parameter(text) => visitor.visit_string(text),
            Json::List(_) => self.deserialize_seq(visitor),
            Json::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = match &self.value {
            Json::Bool(value) => Some(*value),
            Json::Parameter(text) => text.parse().ok(),
            Json::Null | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
        };
        visitor.visit_bool(value.ok_or_else(|| Fault::wrong_type("true or false"))?)
    }

    whole_numbers! {
        deserialize_u8: visit_u64 as_u64 u64,
        deserialize_u16: visit_u64 as_u64 u64,
        deserialize_u32: visit_u64 as_u64 u64,
        deserialize_u64: visit_u64 as_u64 u64,
        deserialize_i8: visit_i64 as_i64 i64,
        deserialize_i16: visit_i64 as_i64 i64,
        deserialize_i32: visit_i64 as_i64 i64,
        deserialize_i64: visit_i64 as_i64 i64,
    }

    floats! { deserialize_f32 deserialize_f64 }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Json::Null => visitor.visit_none(),
            Json::Bool(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Object(_)
            | Json::Parameter(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Json::List(items) = self.value else { return Err(Fault::wrong_type("a list")) };
        visitor.visit_seq(Items { rest: items.into_iter().enumerate(), unknown_fields: self.unknown_fields })
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let fields = object(&mut self.value)?;
        visitor.visit_map(self.fields(fields))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let fields = object(&mut self.value)?;
        if self.unknown_fields == UnknownFields::Rejected
            && let Some((field, _)) = fields.iter().find(|(field, _)| !known.contains(&field.as_str()))
        {
            return Err(Fault::unknown(field, known));
        }
        visitor.visit_map(self.fields(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Word(text(self.value)?))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { bytes byte_buf unit unit_struct tuple tuple_struct }
}

impl Deserializer {
    fn is_natural(&self) -> bool {
        matches!(&self.value, Json::Number(number) if number.is_u64())
    }
}

fn text(value: Json) -> Result<String, Fault> {
    match value {
        Json::Text(text) | Json::Parameter(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => {
            Err(Fault::wrong_type("a string"))
        }
    }
}

fn object(value: &mut Json) -> Result<Vec<(String, Json)>, Fault> {
    match value {
        Json::Object(fields) => Ok(std::mem::take(fields)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Parameter(_) => {
            Err(Fault::wrong_type("an object"))
        }
    }
}

/// The items of a list.
struct Items {
    rest: std::iter::Enumerate<vec::IntoIter<Json>>,
    unknown_fields: UnknownFields,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        let read = seed.deserialize(Deserializer::new(value, self.unknown_fields));
        read.map(Some).map_err(|fault| fault.below(Step::Item(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The fields of an object.
struct Fields {
    rest: vec::IntoIter<(String, Json)>,
    /// Of the field whose name was read last.
    value: Option<(String, Json)>,
    unknown_fields: UnknownFields,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((name.clone(), value));
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let (name, value) = self.value.take().expect("a value is read after its name");
        let read = seed.deserialize(Deserializer::new(value, self.unknown_fields));
        read.map_err(|fault| fault.below(Step::Field(name)))
    }
}

/// A word of a closed set.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Fault;
    type Variant = NothingMore;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, NothingMore), Fault> {
        Ok((seed.deserialize(self.0.into_deserializer())?, NothingMore))
    }
}

/// Words of requests carry no values.
struct NothingMore;

impl<'de> VariantAccess<'de> for NothingMore {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::wrong_type("a word without a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::wrong_type("a word without a value"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::wrong_type("a word without a value"))
    }
}
