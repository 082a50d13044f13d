//! From the tree of values to the types of settings.
//!
//! This needs its own serde deserializer, because only here are the dotted key, the place of each
//! value and the names that the types know all available.

use std::collections::btree_map;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::document::{Node, Value};
use super::error::SettingsError;
use super::fault::{Fault, Problem, show};
use super::keys::required_in;

/// Reads a type off a tree; the error for an unknown key names the nearest of `known_keys`.
pub(crate) fn read<T: DeserializeOwned>(
    document: &Node,
    known_keys: &[String],
) -> Result<T, SettingsError> {
    T::deserialize(document).map_err(|fault| {
        fault.into_error(&document.place, known_keys, |table| {
            let mut required = required_in::<T>(table);
            required.retain(|key| document.place_of(key).is_none());
            required
        })
    })
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Array(nodes) => visitor.visit_seq(Elements(nodes.iter())),
            Value::Table(entries) => {
                visitor.visit_map(Entries { rest: entries.iter(), current: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::String(name) => visitor.visit_enum(StrDeserializer::<Fault>::new(name.as_str())),
            Value::Table(entries) => visitor.visit_enum(MapAccessDeserializer::new(Entries {
                rest: entries.iter(),
                current: None,
            })),
            _ => Err(Fault::new(Problem::Type {
                expected: format!("one of {}", known.join(", ")),
                found: self.deserialize_any(Describe)?,
            })),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Describes a value that is neither a name nor a table.
struct Describe;

impl<'de> Visitor<'de> for Describe {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(show(Unexpected::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(show(Unexpected::Signed(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(show(Unexpected::Float(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Ok(show(Unexpected::Seq))
    }
}

/// The elements of an array.
struct Elements<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|fault| fault.placed(&node.place))
    }
}

/// The entries of a table.
struct Entries<'de> {
    rest: btree_map::Iter<'de, String, Node>,
    current: Option<(&'de String, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.current = self.rest.next();
        let Some((key, node)) = self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|fault| fault.within(key, &node.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) = self.current.expect("serde asks for a value after its key");
        seed.deserialize(node).map_err(|fault| fault.within(key, &node.place))
    }
}
