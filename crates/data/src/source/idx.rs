//! The IDX format of the MNIST family: bytes with a header of big-endian sizes.
//!
//! A file is `0 0 8 R`, then R sizes of 32 bits, then exactly as many bytes as their product; 8
//! stands for *unsigned byte*. A `.gz` file holds the same, compressed.

use std::io::{BufReader, Read};
use std::path::Path;

use bauta_datasets::DataError;
use flate2::bufread::MultiGzDecoder;

use crate::regular;

/// An array of bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Idx<const RANK: usize> {
    /// Its sizes, slowest axis first.
    pub(crate) shape: [usize; RANK],
    /// Its values, last axis fastest.
    pub(crate) values: Vec<u8>,
}

/// Reads a file, decompressing it if its name ends in `.gz`.
///
/// Takes no more memory than the contents need, whatever the header claims, and unpacks nothing
/// after a header that `accept` refuses with a message.
pub(crate) fn read<const RANK: usize>(
    path: &Path,
    accept: impl Fn([usize; RANK]) -> Result<(), String>,
) -> Result<Idx<RANK>, DataError> {
    let file = BufReader::new(regular::open(path)?);
    let result = if path.extension().is_some_and(|extension| extension == "gz") {
        parse(MultiGzDecoder::new(file), accept)
    } else {
        parse(file, accept)
    };
    result.map_err(|problem| DataError::malformed(path, problem))
}

fn parse<const RANK: usize>(
    mut file: impl Read,
    accept: impl Fn([usize; RANK]) -> Result<(), String>,
) -> Result<Idx<RANK>, String> {
    let mut word = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes)
            .map_err(|error| format!("the IDX header is incomplete: {error}"))?;
        Ok::<_, String>(bytes)
    };
    let magic = word()?;
    if magic != [0, 0, 8, RANK as u8] {
        return Err(format!("begins with {magic:?}; an IDX file begins with [0, 0, 8, {RANK}]"));
    }
    let mut shape = [0; RANK];
    for size in &mut shape {
        *size = u32::from_be_bytes(word()?) as usize;
    }
    accept(shape)?;
    let expected = shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .filter(|&product| product < isize::MAX as usize)
        .ok_or_else(|| format!("claims the impossible shape {shape:?}"))?;

    let mut values = Vec::new();
    file.take(expected as u64 + 1)
        .read_to_end(&mut values)
        .map_err(|error| format!("ends after {} values: {error}", values.len()))?;
    if values.len() != expected {
        let relation = if values.len() > expected { "more" } else { "fewer" };
        return Err(format!("holds {relation} values than its shape {shape:?} says"));
    }
    Ok(Idx { shape, values })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Writes the file that `read` reads.
    pub(crate) fn encode(shape: &[usize], values: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, shape.len() as u8];
        for &size in shape {
            file.extend((size as u32).to_be_bytes());
        }
        file.extend(values);
        file
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(name: &str, bytes: &[u8]) -> Result<Idx<3>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, |_| Ok(()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_was_written_is_read(
            shape in prop::array::uniform3(0_usize..6), seed: u8, compressed: bool,
        ) {
            let values: Vec<u8> =
                (0..shape.iter().product::<usize>()).map(|i| (i as u8) ^ seed).collect();
            let plain = encode(&shape, &values);
            let (name, bytes) = if compressed { ("x.gz", gzip(&plain)) } else { ("x", plain) };
            prop_assert_eq!(read_bytes(name, &bytes).unwrap(), Idx { shape, values });
        }
    }

    #[test]
    fn nothing_is_unpacked_behind_a_header_that_is_refused() {
        let whole = gzip(&encode(&[1_000_000, 28, 28], &[0; 4096]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gz");
        std::fs::write(&path, whole).unwrap();
        let refuse = |shape: [usize; 3]| Err(format!("{} images for 10 labels", shape[0]));
        let error = read::<3>(&path, refuse).unwrap_err().to_string();
        assert!(error.contains("1000000 images for 10 labels"), "{error}");
    }

    #[test]
    fn hostile_files_are_errors_that_name_the_file() {
        let whole = encode(&[2, 2, 2], &[7; 8]);
        let zipped = gzip(&whole);
        let table: [(&str, &str, Vec<u8>); 9] = [
            ("empty", "x", vec![]),
            ("short header", "x", whole[..10].to_vec()),
            ("wrong magic", "x", encode(&[8], &[7; 8])),
            ("signed values", "x", [&[0, 0, 9, 3], &whole[4..]].concat()),
            ("truncated", "x", whole[..whole.len() - 1].to_vec()),
            ("too long", "x", [&whole[..], &[0]].concat()),
            ("a vast claim", "x", encode(&[1 << 31, 1 << 31, 1 << 31], &[])),
            ("gz garbage", "x.gz", whole.clone()),
            ("gz truncated", "x.gz", zipped[..zipped.len() - 9].to_vec()),
        ];
        for (what, name, bytes) in table {
            let error = read_bytes(name, &bytes).expect_err(what).to_string();
            assert!(error.contains(name), "{what}: {error}");
        }
    }
}
