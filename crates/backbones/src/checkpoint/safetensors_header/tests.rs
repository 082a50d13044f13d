//! Headers with false claims, each refused with a reason, and mutations of a correct one.

use std::path::Path;

use proptest::prelude::*;

use crate::ModelError;
use crate::checkpoint::read_tensors;

/// A file with this header and `numbers` bytes of numbers.
fn file(header: &str, numbers: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0x3f; numbers]].concat()
}

/// A header with one tensor `w`.
fn one(dtype: &str, shape: &str, end: u64) -> String {
    format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
}

fn read_from(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Vec<i64>)>, ModelError> {
    std::fs::write(path, bytes).unwrap();
    let tensors = read_tensors(path)?;
    Ok(tensors.into_iter().map(|(name, tensor)| (name, tensor.size())).collect())
}

#[test]
fn what_often_lies_in_the_place_of_weights_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for (bytes, words) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\n<html>404 Not Found</html>", "a web page"),
        (b"PK\x03\x04\x00\x00\x00\x00archive/data.pkl", "a zip archive"),
    ] {
        let refused = read_from(&path, bytes).unwrap_err().to_string();
        assert!(refused.contains(words) && refused.contains("a.safetensors"), "{refused}");
    }
}

#[test]
fn lying_shapes_and_places_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let sides = format!("[{}1]", "1,".repeat(64));
    for (header, numbers, words) in [
        (one("F32", "[0,4611686018427387904,4611686018427387904]", 0), 0, "no tensor can have"),
        (one("F32", "[9223372036854775808]", 0), 0, "no tensor can have"),
        (one("F32", "[0,9223372036854775808]", 0), 0, "no tensor can have"),
        (one("F32", "[18446744073709551615,0]", 0), 0, "no tensor can have"),
        (one("F32", &sides, 4), 4, "w has 65 dimensions"),
        (one("F32", "[2]", 4), 4, "takes 8 bytes from 0"),
        (one("F32", "[1]", 8), 8, "takes 4 bytes from 0"),
        (one("F32", "[2305843009213693951]", 8), 8, "but the header says 0 to 8"),
        (one("F8_E5M2", "[4]", 4), 4, "w has the number type F8_E5M2"),
        (one("F99", "[4]", 4), 4, "unknown variant `F99`"),
        (one("F32", "[1]", 4).replace("[0,4]", "[4,8]"), 8, "takes 4 bytes from 0"),
        (one("F32", "[1]", 4).replace("[0,4]", "[4,0]"), 4, "takes 4 bytes from 0"),
        (one("F32", "[-1]", 4), 4, "its header"),
        (one("F32", "[1]", 4), 8, "tensors of 4 bytes, but 8 are left"),
        (one("F32", "[1]", 4), 3, "tensors of 4 bytes, but 3 are left"),
        ("[]".to_owned(), 0, "an object of tensors"),
        (format!("{}{}", one("F32", "[1]", 4), "{}"), 4, "trailing characters"),
        (
            r#"{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"I16","shape":[1],"data_offsets":[0,2]}}"#
                .to_owned(),
            2,
            "w occurs twice",
        ),
    ] {
        let refused = read_from(&path, &file(&header, numbers)).unwrap_err().to_string();
        assert!(refused.contains("safetensors file") && refused.contains(words), "{refused}");
    }
    for header in [u64::MAX, 1 << 62, 100] {
        let bytes = [&header.to_le_bytes()[..], b"{}"].concat();
        let refused = read_from(&path, &bytes).unwrap_err().to_string();
        assert!(refused.contains("but 2 are left"), "{refused}");
    }
}

#[test]
fn honest_oddities_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for (header, numbers, wanted) in [
        (one("F32", "[]", 4), 4, vec![("w".to_owned(), vec![])]),
        (one("F32", "[0,4]", 0), 0, vec![("w".to_owned(), vec![0, 4])]),
        // Any byte that is not 0 is true.
        (one("BOOL", "[2]", 2), 2, vec![("w".to_owned(), vec![2])]),
        ("{}".to_owned(), 0, vec![]),
        (r#"{"__metadata__":{"format":"pt"}}  "#.to_owned(), 0, vec![]),
    ] {
        assert_eq!(read_from(&path, &file(&header, numbers)).unwrap(), wanted, "{header}");
    }
}

/// A dimension or position: mostly small, sometimes absurd.
fn arbitrary_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..9_u64,
        1 => any::<u64>(),
        1 => (0..64_u32).prop_map(|shift| 1 << shift),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Reading takes no more memory than the file has bytes, and nothing panics.
    #[test]
    fn no_header_panics_or_takes_more_than_the_file(
        tensors in prop::collection::vec(
            (
                prop::sample::select(vec!["F32", "F16", "BF16", "I64", "U8", "BOOL", "F64", "C64"]),
                prop::collection::vec(arbitrary_number(), 0..5),
                [arbitrary_number(), arbitrary_number()],
            ),
            0..4,
        ),
        numbers in 0..64_usize,
    ) {
        let entries: Vec<String> = tensors
            .iter()
            .enumerate()
            .map(|(place, (dtype, shape, offsets))| {
                format!(r#""{place}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{offsets:?}}}"#)
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let bytes = file(&format!("{{{}}}", entries.join(",")), numbers);
        if let Ok(found) = read_from(&path, &bytes) {
            let held: i64 = found.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
            prop_assert!(held <= numbers as i64);
        }
    }

    #[test]
    fn no_mutation_of_a_file_panics(
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let header = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}"#;
        let mut bytes = file(header, 32);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        let folder = tempfile::tempdir().unwrap();
        let _ = read_from(&folder.path().join("a.safetensors"), &bytes);
    }
}
