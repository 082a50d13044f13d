//! Every key that a recipe knows, read off the types themselves.
//!
//! A deserializer that answers each question with a harmless value and writes
//! down the field names it is asked for: a key added to the schema is known
//! here, and can be suggested, without a second list.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::schema::Recipe;

/// The error of a question that has no harmless answer.
type NoAnswer = serde::de::value::Error;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys_of::<Recipe>);

/// Every dotted key of a type of the schema.
pub(crate) fn keys_of<T: Deserialize<'static>>() -> Vec<String> {
    let mut keys = Vec::new();
    T::deserialize(Tracer { path: String::new(), keys: &mut keys })
        .map(drop)
        .expect("every type of the schema takes the tracer's answers; a test checks it");
    keys
}

/// Every dotted key that a recipe may hold, in the order of the schema.
///
/// ```
/// assert!(bauta_recipe::known_keys().iter().any(|key| key == "mask.ratio"));
/// ```
pub fn known_keys() -> &'static [String] {
    &KEYS
}

/// Answers for the value at `path`.
struct Tracer<'a> {
    path: String,
    keys: &'a mut Vec<String>,
}

impl Tracer<'_> {
    fn leaf(self) {
        if !self.path.is_empty() {
            self.keys.push(self.path);
        }
    }
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = NoAnswer;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_u64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_borrowed_str("text")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NoAnswer> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.deserialize_tuple(0, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_seq(Ones(length))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_enum(StrDeserializer::new(names[0]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoAnswer> {
        visitor.visit_map(Fields {
            path: self.path,
            names: fields.iter(),
            current: "",
            keys: self.keys,
        })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf
        unit unit_struct tuple_struct map identifier ignored_any
    }
}

/// The fields of a struct, each answered in turn.
struct Fields<'a> {
    path: String,
    names: std::slice::Iter<'static, &'static str>,
    current: &'static str,
    keys: &'a mut Vec<String>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = NoAnswer;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NoAnswer> {
        let Some(&name) = self.names.next() else { return Ok(None) };
        self.current = name;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NoAnswer> {
        let path = match self.path.as_str() {
            "" => self.current.to_owned(),
            table => format!("{table}.{}", self.current),
        };
        seed.deserialize(Tracer { path, keys: self.keys })
    }
}

/// So many ones.
struct Ones(usize);

impl<'de> SeqAccess<'de> for Ones {
    type Error = NoAnswer;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NoAnswer> {
        if self.0 == 0 {
            return Ok(None);
        }
        self.0 -= 1;
        seed.deserialize(1_u64.into_deserializer()).map(Some)
    }
}
