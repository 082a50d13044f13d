//! Every key that a type of settings knows, read off the type itself.
//!
//! A deserializer that answers each question with a harmless value and writes
//! down the field names it is asked for: a field added to a type is known
//! here, and can be suggested, without a second list.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The error of a question that has no harmless answer.
type NoAnswer = serde::de::value::Error;

/// Every dotted key of a type, in the order of its fields, each after the dotted `prefix`.
///
/// Fields after one that takes none of the tracer's answers are left out; they are
/// read as any other, but not suggested.
pub(crate) fn keys_of<T: Deserialize<'static>>(prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let _ = T::deserialize(Tracer { path: prefix.to_owned(), keys: &mut keys });
    keys
}

/// The tables that a dotted key lies in: `eval` and `eval.knn` for `eval.knn.k`.
pub(crate) fn tables_of(key: &str) -> impl DoubleEndedIterator<Item = &str> {
    key.match_indices('.').map(|(end, _)| &key[..end]).collect::<Vec<_>>().into_iter()
}

/// Whether one of the `keys` lies in the table of that name.
pub(crate) fn is_table(name: &str, keys: &[String]) -> bool {
    keys.iter().any(|key| tables_of(key).any(|table| table == name))
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
        visitor.visit_seq(Same(length))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf();
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, u64)>()))
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
        unit unit_struct tuple_struct identifier ignored_any
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

/// So many elements of an array, whose own keys are nobody's.
struct Same(usize);

impl<'de> SeqAccess<'de> for Same {
    type Error = NoAnswer;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NoAnswer> {
        if self.0 == 0 {
            return Ok(None);
        }
        self.0 -= 1;
        seed.deserialize(Tracer { path: String::new(), keys: &mut Vec::new() }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its keys are looked at")]
    struct Table {
        pairs: [(String, f64); 2],
        names: BTreeMap<String, String>,
        letter: Option<Letter>,
        inner: Inner,
        list: Vec<Inner>,
    }

    #[derive(Deserialize)]
    enum Letter {
        A,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its keys are looked at")]
    struct Inner {
        depth: usize,
        flag: bool,
    }

    #[test]
    fn keys_are_read_off_types() {
        let keys = ["t.pairs", "t.names", "t.letter", "t.inner.depth", "t.inner.flag", "t.list"];
        assert_eq!(keys_of::<Table>("t"), keys);
        let Letter::A = Letter::deserialize(StrDeserializer::<NoAnswer>::new("A")).unwrap();
        let keys = keys_of::<Table>("");
        assert!(is_table("inner", &keys) && !is_table("list", &keys) && !is_table("inn", &keys));
        assert_eq!(tables_of("a.b.c").collect::<Vec<_>>(), ["a", "a.b"]);
    }
}
