//! From the tree of values to the recipe's types.
//!
//! A serde deserializer of its own, because only here are the dotted key, the
//! place of each value and the names that the types know all at hand.

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use std::collections::btree_map;
use std::fmt;

use crate::document::{Node, Value};
use crate::error::{Place, RecipeError};
use crate::nearest::nearest;

/// What serde found wrong, before the key and the place are known.
#[derive(Debug)]
enum Problem {
    UnknownKey,
    MissingKey(&'static str),
    UnknownValue { found: String, known: &'static [&'static str] },
    Type { expected: String, found: String },
    Other(String),
}

/// A problem on its way up, collecting its key and the innermost place.
#[derive(Debug)]
pub(crate) struct Fault {
    problem: Problem,
    /// The parts of the dotted key, innermost first.
    parts: Vec<String>,
    place: Option<Place>,
}

impl Fault {
    fn new(problem: Problem) -> Self {
        Self { problem, parts: Vec::new(), place: None }
    }

    fn within(mut self, part: &str, place: &Place) -> Self {
        self.parts.push(part.to_owned());
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// The error to show, given the whole document's place and every known key.
    pub(crate) fn into_error(self, document: &Place, known_keys: &[String]) -> RecipeError {
        let place = self.place.unwrap_or_else(|| document.clone());
        let mut parts: Vec<&str> = self.parts.iter().rev().map(String::as_str).collect();
        if let Problem::MissingKey(key) = self.problem {
            parts.push(key);
        }
        let key = parts.join(".");
        match self.problem {
            Problem::UnknownKey => {
                // An override's first unknown part may be a table; its whole key says more.
                let key = match &place {
                    Place::Override(text) => text.split('=').next().unwrap_or(&key).trim(),
                    _ => &key,
                };
                let tables = known_keys.iter().flat_map(|key| tables_of(key));
                let nearest = nearest(key, known_keys.iter().map(String::as_str).chain(tables));
                let nearest = nearest.map(str::to_owned);
                RecipeError::UnknownKey { key: key.to_owned(), nearest, place: place.clone() }
            }
            Problem::MissingKey(_) => RecipeError::MissingKey { place, key },
            Problem::UnknownValue { found, known } => RecipeError::UnknownValue {
                place,
                key,
                nearest: nearest(&found, known.iter().copied()).map(str::to_owned),
                known: known.iter().map(|&name| name.to_owned()).collect(),
                found,
            },
            Problem::Type { expected, found } => RecipeError::Type { place, key, expected, found },
            Problem::Other(message) => {
                RecipeError::Invalid { place, message: format!("{key}: {message}") }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::Type { expected: plain(expected, ""), found: show(found) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::Type { expected: plain(expected, " of at least 0"), found: show(found) })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = plain(expected, "");
        Self::new(Problem::Type { expected, found: format!("{length} values") })
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownValue { found: found.to_owned(), known })
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Problem::MissingKey(key))
    }
}

/// The tables that a dotted key lies in: `eval` and `eval.knn` for `eval.knn.k`.
fn tables_of(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('.').map(|(end, _)| &key[..end])
}

/// Says in words what serde says in Rust's types.
fn plain(expected: &dyn Expected, range: &str) -> String {
    match expected.to_string().as_str() {
        "u64" | "usize" => format!("an integer{range}"),
        "u32" if range.is_empty() => "an integer".to_owned(),
        "u32" => format!("an integer from 0 to {}", u32::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        words if words.starts_with("struct ") => "a table".to_owned(),
        words => match words.strip_prefix("an array of length ") {
            Some(length) => format!("an array of {length} values"),
            None => words.replace("a boolean", "true or false"),
        },
    }
}

fn show(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Signed(value) => format!("integer {value}"),
        Unexpected::Unsigned(value) => format!("integer {value}"),
        Unexpected::Float(value) => format!("number {value}"),
        Unexpected::Str(text) => format!("string {text:?}"),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
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
        let place_it = |mut fault: Fault| {
            fault.place.get_or_insert_with(|| node.place.clone());
            fault
        };
        seed.deserialize(node).map(Some).map_err(place_it)
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
