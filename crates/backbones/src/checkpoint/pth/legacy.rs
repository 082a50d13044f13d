//! The format that `torch.save` wrote before PyTorch 1.6, and still writes on request.
//!
//! It starts with five pickles: a magic number, a version, a description of the machine, the
//! object, and the list of its storages' keys. The storages follow in the order of that list: the
//! count of numbers, in eight bytes, and the numbers. All lengths are checked against each other
//! before any is used.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::pickle::{Pickle, Storage, Value, damaged};
use super::{LONGEST_PICKLE, Storages};

/// The pickle of 0x1950a86a20f9469cfc6c, with which such a file starts.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The only version that was ever used.
const VERSION: Value<'_> = Value::Int(1001);

/// Reads the start of a file: all pickles of this format, or a few bytes of any other file.
pub(super) fn read_begin(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    file.rewind()?;
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    if begin == MAGIC {
        file.by_ref().take(LONGEST_PICKLE).read_to_end(&mut begin)?;
    }
    Ok(begin)
}

/// A file of this format, with the positions of its storages.
pub(super) struct Legacy<F> {
    file: F,
    /// Where the numbers of a storage start, and how many bytes they take.
    places: HashMap<String, (u64, u64)>,
}

impl<F: Read + Seek> Legacy<F> {
    /// Reads the object of a file of this length, whose first bytes are `begin`, and locates its
    /// storages.
    pub fn open(mut file: F, length: u64, begin: &[u8]) -> Result<(Pickle<'_>, Self), String> {
        let (version, rest) = Pickle::parse("the version", &begin[MAGIC.len()..])?;
        if version.root != VERSION {
            let found = match version.root {
                Value::Int(version) => version.to_string(),
                other => other.noun().to_owned(),
            };
            return Err(format!(
                "its format version is {found}, but only 1001 is supported; torch.load and \
                 torch.save it again"
            ));
        }
        let (machine, rest) = Pickle::parse("the machine's description", rest)?;
        let entries = machine.dict(machine.root).unwrap_or_default();
        match entries.iter().rfind(|(key, _)| *key == Value::Str("little_endian")) {
            Some((_, Value::Bool(true))) => {}
            Some((_, Value::Bool(false))) => {
                return Err(
                    "its numbers are big-endian; save it again on a little-endian machine".into()
                );
            }
            _ => return Err(damaged("it does not give the byte order of its numbers")),
        }
        let (object, rest) = Pickle::parse("the object", rest)?;
        let (keys, rest) = Pickle::parse("the list of storages", rest)?;
        let keys = keys.list(keys.root).ok_or_else(|| damaged("it has no list of storages"))?;
        let places = places(&mut file, &object, keys, (begin.len() - rest.len()) as u64, length)?;
        Ok((object, Self { file, places }))
    }
}

/// Walks over the storages, starting at byte `at` of `length`.
fn places(
    file: &mut (impl Read + Seek),
    object: &Pickle<'_>,
    keys: &[Value<'_>],
    mut at: u64,
    length: u64,
) -> Result<HashMap<String, (u64, u64)>, String> {
    let mut claims: HashMap<&str, Storage<'_>> = HashMap::new();
    for &storage in object.storages() {
        if claims.insert(storage.key, storage).is_some_and(|other| other != storage) {
            let key = storage.key;
            return Err(damaged(&format!("storage {key} has two types or lengths")));
        }
    }
    let mut places = HashMap::new();
    for &key in keys {
        let Value::Str(key) = key else {
            let noun = key.noun();
            return Err(damaged(&format!("{noun} is among the keys of storages")));
        };
        let of = |what: String| damaged(&format!("storage {key} {what}"));
        let claim = claims.get(key).ok_or_else(|| of("belongs to no tensor".into()))?;
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut count))
            .map_err(|error| of(format!("has no length ({error})")))?;
        let count = i64::from_le_bytes(count);
        if count != claim.numel {
            return Err(of(format!("has {count} numbers, but {} are declared", claim.numel)));
        }
        let bytes = u64::try_from(count).ok();
        let bytes =
            bytes.and_then(|count| count.checked_mul(claim.kind.elt_size_in_bytes() as u64));
        // The eight bytes of the length have been read, so this is within the file.
        let begin = at + 8;
        let end = bytes.and_then(|bytes| begin.checked_add(bytes)).filter(|&end| end <= length);
        at = end.ok_or_else(|| {
            of(format!("has {count} numbers, but {} bytes are left of the file", length - begin))
        })?;
        if places.insert(key.to_owned(), (begin, at - begin)).is_some() {
            return Err(of("occurs twice".into()));
        }
    }
    Ok(places)
}

impl<F: Read + Seek> Storages for Legacy<F> {
    fn bytes(&mut self, key: &str, count: u64) -> Result<Vec<u8>, String> {
        let fail = |what: String| damaged(&format!("storage {key} {what}"));
        let &(begin, bytes) =
            self.places.get(key).ok_or_else(|| fail("is not in the file".into()))?;
        if bytes != count {
            return Err(fail(format!("has {bytes} bytes, but needs {count}")));
        }
        let mut numbers = vec![0; bytes as usize];
        self.file
            .seek(SeekFrom::Start(begin))
            .and_then(|_| self.file.read_exact(&mut numbers))
            .map_err(|error| fail(format!("cannot be read ({error})")))?;
        Ok(numbers)
    }
}
