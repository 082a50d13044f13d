//! The header of a safetensors file, checked before memory is allocated for its tensors.
//!
//! A file starts with the header's length in eight bytes and a JSON object with each tensor's
//! number type, shape and position. The numbers follow, one tensor after the other without a gap.
//! Everything that the header claims is checked against the file's length and against what libtorch
//! can hold.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;

use safetensors::tensor::TensorInfo;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use tch::Kind;

use super::kind_of;

/// Maximum length of a header, in bytes; a thousand tensors take a tenth of a megabyte.
const LONGEST: u64 = 16 << 20;

/// Maximum number of a tensor's dimensions, as in libtorch's own loops.
const MOST_SIDES: usize = 64;

/// A tensor of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    pub kind: Kind,
    pub shape: Vec<i64>,
    pub bytes: usize,
}

/// The kind of a file that starts with these bytes, if it is one that is often found in place of
/// weights.
fn other_file(start: &[u8; 8]) -> Option<&'static str> {
    match start {
        b"version " => Some("a Git LFS pointer"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive, as PyTorch writes"),
        _ if start.trim_ascii_start().starts_with(b"<") => Some("a web page"),
        _ => None,
    }
}

/// Reads the header of a file of `length` bytes and returns its tensors in the order of their
/// numbers, which start at the file's position after the call.
///
/// The error says what is wrong with the file, and names the tensor.
pub(super) fn read(file: &mut File, length: u64) -> Result<Vec<Entry>, String> {
    let broken = |what: String| {
        format!("truncated or not a safetensors file ({what}); fetch or write it again")
    };
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| broken(format!("it has {length} bytes")))?;
    if let Some(other) = other_file(&size) {
        return Err(format!("it is {other}, not a safetensors file; fetch the file itself"));
    }
    let (size, rest) = (u64::from_le_bytes(size), length.saturating_sub(8));
    if size > rest {
        return Err(broken(format!("a header of {size} bytes, but {rest} are left")));
    }
    if size > LONGEST {
        return Err(broken(format!("a header of {size} bytes; at most {LONGEST} are supported")));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(|error| broken(error.to_string()))?;
    let mut json = serde_json::Deserializer::from_slice(&header);
    let mut infos = json
        .deserialize_map(Tensors)
        .and_then(|infos| json.end().map(|()| infos))
        .map_err(|error| broken(format!("its header: {error}")))?;
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0;
    let mut entries = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let entry = entry(name, &info, at)?;
        at = info.data_offsets.1;
        entries.push(entry);
    }
    if at as u64 != rest - size {
        return Err(broken(format!("tensors of {at} bytes, but {} are left", rest - size)));
    }
    Ok(entries)
}

/// One tensor, whose numbers must start at `at`.
fn entry(name: String, info: &TensorInfo, at: usize) -> Result<Entry, String> {
    let refuse = |what: String| format!("not a usable safetensors file: {name} {what}");
    let TensorInfo { dtype, shape, data_offsets: (begin, end) } = info;
    let kind = kind_of(*dtype).ok_or_else(|| {
        refuse(format!("has the number type {dtype:?}, which is not supported; save it as F32"))
    })?;
    if shape.len() > MOST_SIDES {
        return Err(refuse(format!(
            "has {} dimensions; at most {MOST_SIDES} are supported",
            shape.len()
        )));
    }
    // Dimensions of 0 count as 1, since libtorch multiplies the others too.
    let whole = shape.iter().try_fold(kind.elt_size_in_bytes() as i64, |all, &side| {
        all.checked_mul(i64::try_from(side.max(1)).ok()?)
    });
    let Some(whole) = whole else {
        return Err(refuse(format!("has the shape {shape:?}, which no tensor can have")));
    };
    let bytes = if shape.contains(&0) { 0 } else { whole };
    if *begin != at || end.checked_sub(*begin).map(|found| found as i64) != Some(bytes) {
        return Err(refuse(format!(
            "with the shape {shape:?} takes {bytes} bytes from {at}, but the header says {begin} \
             to {end}"
        )));
    }
    let shape = shape.iter().map(|&side| side as i64).collect();
    Ok(Entry { name, kind, shape, bytes: bytes as usize })
}

/// Reads the header's object; a duplicate name is an error.
struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = Vec<(String, TensorInfo)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut infos = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if !names.insert(name.clone()) {
                return Err(serde::de::Error::custom(format!("{name} occurs twice")));
            }
            infos.push((name, map.next_value()?));
        }
        Ok(infos)
    }
}

#[cfg(test)]
mod tests;
