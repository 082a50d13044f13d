//! Every key that a type of settings knows, read off the type itself.
//!
//! A deserializer answers each request with a harmless value and records the field names it is
//! asked for, so a field added to a type is known here, and can be suggested, without a second
//! list. A key that gets no answer shows whether it is required, and its default if it is not.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The error for a request that has no harmless answer.
type NoAnswer = serde::de::value::Error;

/// A key with the kind of value that its type asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Traced {
    pub(super) key: String,
    pub(super) kind: Kind,
}

/// The kind of value that a type asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Any,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Table,
    Choice(&'static [&'static str]),
}

/// Every dotted key of a type, in the order of its fields, each after the dotted `prefix`.
///
/// Fields after one that accepts none of the tracer's answers are left out; they are read like any
/// other, but not suggested.
pub(crate) fn keys_of<T: Deserialize<'static>>(prefix: &str) -> Vec<String> {
    traced::<T>(prefix).into_iter().map(|traced| traced.key).collect()
}

/// The same keys, with the kinds of their values.
pub(super) fn traced<T: Deserialize<'static>>(prefix: &str) -> Vec<Traced> {
    let mut keys = Vec::new();
    let _ = T::deserialize(Tracer { path: prefix.to_owned(), without: "", keys: &mut keys });
    keys
}

/// A value of the type with harmless values for all keys but one, which has its default; `None` if
/// that key has no default.
pub(super) fn without<T: Deserialize<'static>>(key: &str) -> Option<T> {
    let mut keys = Vec::new();
    T::deserialize(Tracer { path: String::new(), without: key, keys: &mut keys }).ok()
}

/// The keys and tables that a table of the type must have, by their dotted names; the table `""` is
/// the whole.
pub(super) fn required_in<T: Deserialize<'static>>(table: &str) -> Vec<String> {
    if without::<T>("").is_none() {
        return Vec::new(); // The type takes no harmless values: nothing can be told from them.
    }
    let prefix = dotted(table, "");
    let mut children: Vec<String> = Vec::new();
    for key in keys_of::<T>("") {
        let Some(inside) = key.strip_prefix(&prefix) else { continue };
        let child = dotted(table, inside.split('.').next().unwrap_or(inside));
        if !children.contains(&child) {
            children.push(child);
        }
    }
    children.retain(|child| without::<T>(child).is_none());
    children
}

/// A name within a table, or at the top.
pub(super) fn dotted(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
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
    /// The dotted key that gets no answer.
    without: &'a str,
    keys: &'a mut Vec<Traced>,
}

impl Tracer<'_> {
    fn leaf(self, kind: Kind) {
        if !self.path.is_empty() {
            self.keys.push(Traced { key: self.path, kind });
        }
    }
}

/// Answers 1 to a request for a number of some type.
macro_rules! numbers {
    ($($deserialize:ident => $kind:ident,)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
            self.leaf(Kind::$kind);
            visitor.visit_u64(1)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = NoAnswer;

    numbers! {
        deserialize_any => Any,
        deserialize_u32 => Integer,
        deserialize_u64 => Integer,
        deserialize_i64 => Integer,
        deserialize_f64 => Number,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf(Kind::Boolean);
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf(Kind::Text);
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
        self.leaf(Kind::List);
        visitor.visit_seq(Same(length))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoAnswer> {
        self.leaf(Kind::Table);
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, u64)>()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoAnswer> {
        self.leaf(Kind::Choice(names));
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
            current: String::new(),
            without: self.without,
            keys: self.keys,
        })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 char bytes byte_buf
        unit unit_struct tuple_struct identifier ignored_any
    }
}

/// The fields of a struct, each answered in turn.
struct Fields<'a> {
    path: String,
    names: std::slice::Iter<'static, &'static str>,
    /// The dotted key whose value is asked for next.
    current: String,
    without: &'a str,
    keys: &'a mut Vec<Traced>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = NoAnswer;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NoAnswer> {
        for &name in self.names.by_ref() {
            self.current = dotted(&self.path, name);
            if self.without.is_empty() || self.current != self.without {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NoAnswer> {
        let path = std::mem::take(&mut self.current);
        seed.deserialize(Tracer { path, without: self.without, keys: self.keys })
    }
}

/// The elements of an array of a fixed length; keys inside them are not collected.
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
        let path = String::new();
        seed.deserialize(Tracer { path, without: "", keys: &mut Vec::new() }).map(Some)
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

    #[test]
    fn what_has_no_default_is_required() {
        let all = ["pairs", "names", "inner", "list"];
        assert_eq!(required_in::<Table>(""), all, "options are not");
        assert_eq!(required_in::<Table>("inner"), ["inner.depth", "inner.flag"]);
        assert_eq!(required_in::<Table>("inn"), [""; 0]);
        assert_eq!(without::<Inner>("flag").map(|inner| inner.depth), None);
    }
}
