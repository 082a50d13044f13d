//! Parquet files as pyarrow writes them, whole and broken.

use std::fs;
use std::path::Path;

use super::super::tests::{captions, opened, refusal};
use super::super::{PairName, PairOptions, Unpaired};

/// A folder with these files of `tests/fixtures/pairs`.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pairs");
    for name in names {
        fs::copy(fixtures.join(name), root.path().join(name)).unwrap();
    }
    root
}

#[test]
fn rows_are_pairs_and_halves_of_pairs() {
    let root = folder(&["snappy.parquet"]);
    let options = PairOptions { holdout: 0.4, ..PairOptions::default() };
    let found = opened(PairName::Pairs, root.path(), &options).unwrap();
    let wanted = ["", "a blue boat", "a cat", "a dog", "a red house", "ein Süßes"];
    assert_eq!(captions(&found), wanted);
    assert_eq!(found.train.texts, ["no picture", "a dog"]);
    let notes = found.notes.join("\n");
    assert!(notes.contains("pictures without a caption: 1 (snappy.parquet row 3)"), "{notes}");
    assert!(notes.contains("(snappy.parquet row 5, snappy.parquet row 6)"), "{notes}");
    // The red value of each picture in the fixture is the number of its row.
    for part in [&found.train, &found.test] {
        for (index, caption) in part.captions.iter().enumerate() {
            let row = ["a red house", "a blue boat", "a dog", "", "a cat", "", "", "ein Süßes"];
            let row = row.iter().position(|known| known == caption).unwrap();
            let image = part.images.image(index).unwrap();
            assert_eq!((image.height(), image.width(), image.pixels()[0]), (2, 4, row as u8));
            assert_eq!(part.images.describe(index), format!("snappy.parquet row {row}"));
        }
    }
    let skip = PairOptions { unpaired: Unpaired::Skip, ..options };
    let found = opened(PairName::Pairs, root.path(), &skip).unwrap();
    assert_eq!(captions(&found), wanted[1..]);
}

#[test]
fn codecs_and_names_that_are_met_are_read() {
    for name in ["gzip.parquet", "text.parquet"] {
        let options = PairOptions { holdout: 0.5, ..PairOptions::default() };
        let root = folder(&[name]);
        let found = opened(PairName::Pairs, root.path(), &options).unwrap();
        assert_eq!(captions(&found), ["one", "two"], "{name}");
    }
}

#[test]
fn what_is_no_table_of_pairs_is_refused_by_name() {
    for (name, problem) in [
        (
            "title.parquet",
            "no column caption or text; its columns are image.bytes, image.path, title, label",
        ),
        ("lists.parquet", "no column caption"),
        ("zstd.parquet", "snappy, gzip or no compression"),
        ("latin.parquet", "row 1 is not UTF-8 from byte 3 on"),
        ("outside.parquet", "embed the pictures"),
    ] {
        let said = refusal(folder(&[name]).path());
        assert!(said.contains(problem), "{name}: {said}");
    }
    // Truncated at any length, it is refused.
    let root = folder(&["snappy.parquet"]);
    let path = root.path().join("snappy.parquet");
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(37) {
        fs::write(&path, &whole[..length]).unwrap();
        let said = refusal(root.path());
        assert!(said.contains("snappy.parquet"), "{said}");
    }
}
