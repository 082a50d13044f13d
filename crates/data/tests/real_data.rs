//! The published numbers of the real data sets, if the cache holds them.
//!
//! Without its data a test is reported as ignored, with the command that fetches them.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bauta_data::pairs::{PairName, PairOptions, open_pairs};
use bauta_data::text::{
    CorpusName, CorpusOptions, Ends, LeftOut, WordPieces, bert_vocabulary, open_corpus,
};
use bauta_data::{
    DatasetName, Image, PACKAGES, Package, Source, Split, cache_root, cifar10_canonical_batch,
    locate, open,
};
use libtest_mimic::{Arguments, Trial};
use md5::{Digest, Md5};

fn main() -> ExitCode {
    let package = |name: DatasetName| name.package().expect("it is fetched as a package");
    let samples = PACKAGES.iter().find(|package| package.name == "foolbox-samples");
    let mut trials = vec![
        trial(
            "cifar10_equals_the_original_binary_release",
            package(DatasetName::Cifar10),
            cifar10_equals_the_original_binary_release,
        ),
        trial(
            "mnist_equals_the_original_files",
            package(DatasetName::Mnist),
            mnist_equals_the_original_files,
        ),
        trial(
            "fashion_mnist_has_its_published_counts",
            package(DatasetName::FashionMnist),
            fashion_mnist_has_its_published_counts,
        ),
        trial(
            "the_samples_of_foolbox_decode",
            samples.expect("it is in the table"),
            the_samples_of_foolbox_decode,
        ),
    ];
    let reuters = CorpusName::Reuters.package().expect("it is fetched as a package");
    let name = "reuters_has_its_documented_counts";
    trials.push(trial(name, reuters, reuters_has_its_documented_counts));
    let name = "bert_ids_are_those_of_the_python_package";
    trials.push(trial(name, bert_vocabulary(), bert_ids_are_those_of_the_python_package));
    for (name, pairs, test) in [
        ("stamps_have_their_documented_counts", PairName::TuxpaintStamps, stamps as fn(&Path)),
        ("emoji_have_their_documented_counts", PairName::Emoji, emoji),
    ] {
        trials.push(trial(name, pairs.package().expect("it is fetched as a package"), test));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test of the data in a package's folder.
fn trial(name: &str, package: &Package, test: fn(&Path)) -> Trial {
    let fetch = format!("cargo xtask data fetch {}", package.name);
    match fetched(package) {
        Some(folder) => Trial::test(name, move || {
            test(&folder);
            Ok(())
        }),
        // Fails if ignored tests are asked for.
        None => Trial::test(format!("{name}, without data: {fetch}"), move || {
            Err(format!("its data are not in the cache; {fetch}").into())
        })
        .with_ignored_flag(true),
    }
}

/// The folder of a data set, if it has been fetched.
fn fetched(package: &Package) -> Option<PathBuf> {
    locate(package, &cache_root().ok()?)
}

fn opened(name: DatasetName, folder: &Path) -> [Arc<dyn Source>; 2] {
    [Split::Train, Split::Test].map(|split| open(name, split, folder).expect("the cache holds it"))
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the sizes of both splits and that all ten classes are equally common.
fn check_counts(splits: &[Arc<dyn Source>; 2], balanced: bool) {
    for (source, expected) in splits.iter().zip([60_000, 10_000]) {
        assert_eq!((source.len(), source.classes().len()), (expected, 10));
        let mut counts = [0; 10];
        for index in 0..source.len() {
            counts[source.label(index).expect("a label") as usize] += 1;
        }
        let even = counts.iter().all(|&count| count == expected / 10);
        assert_eq!(even, balanced, "{counts:?}");
    }
}

/// Checks the constants for normalisation against the images.
fn check_statistics(source: &dyn Source) {
    let channels = source.channels();
    let (mut sum, mut squares, mut count) = (vec![0_u64; channels], vec![0_u64; channels], 0_u64);
    for index in 0..source.len() {
        let image = source.image(index).expect("an image in memory");
        count += (image.height() * image.width()) as u64;
        for pixel in image.pixels().chunks_exact(channels) {
            for (channel, &sample) in pixel.iter().enumerate() {
                sum[channel] += u64::from(sample);
                squares[channel] += u64::from(sample) * u64::from(sample);
            }
        }
    }
    let statistics = source.statistics();
    for channel in 0..channels {
        let mean = sum[channel] as f64 / count as f64 / 255.0;
        let std = (squares[channel] as f64 / count as f64 / 65_025.0 - mean * mean).sqrt();
        assert!((mean - f64::from(statistics.mean[channel])).abs() < 1e-4, "{channel}: {mean}");
        assert!((std - f64::from(statistics.std[channel])).abs() < 1e-4, "{channel}: {std}");
    }
}

fn cifar10_equals_the_original_binary_release(folder: &Path) {
    let published = [
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ];
    let train = bauta_data::open_cifar10(Split::Train, folder).expect("the cache holds it");
    let test = bauta_data::open_cifar10(Split::Test, folder).expect("the cache holds it");
    assert_eq!((train.len(), test.len()), (50_000, 10_000));
    for (batch, published) in published.iter().enumerate() {
        let bytes = match batch {
            5 => cifar10_canonical_batch(&test, 0..10_000),
            _ => cifar10_canonical_batch(&train, batch * 10_000..(batch + 1) * 10_000),
        };
        assert_eq!(md5(&bytes), *published, "batch {batch}");
    }
    check_statistics(&train);
}

fn mnist_equals_the_original_files(folder: &Path) {
    for (file, published) in [
        ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
        ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
        ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
    ] {
        let bytes = std::fs::read(folder.join(file)).expect("the cache holds it");
        assert_eq!(md5(&bytes), published, "{file}");
    }
    let splits = opened(DatasetName::Mnist, folder);
    check_counts(&splits, false);
    check_statistics(&*splits[0]);
}

fn fashion_mnist_has_its_published_counts(folder: &Path) {
    let splits = opened(DatasetName::FashionMnist, folder);
    check_counts(&splits, true);
    check_statistics(&*splits[0]);
}

fn the_samples_of_foolbox_decode(folder: &Path) {
    let samples = open(DatasetName::Folder, Split::Train, folder).expect("the cache holds it");
    assert_eq!(samples.len(), 100);
    let images: Vec<Image<'_>> =
        (0..100).map(|index| samples.image(index).expect("a picture")).collect();
    assert!(images.iter().any(|image| (image.height(), image.width()) == (512, 512)));
}

/// Bodies with topics: 7,194 to train on and 3,182 to test on, less those of rare topics.
fn reuters_has_its_documented_counts(folder: &Path) {
    let options = CorpusOptions { min_train: 20, min_test: 5, ..CorpusOptions::default() };
    let corpus = open_corpus(folder, &options).expect("the cache holds it");
    let LeftOut { without_text, duplicates, .. } = corpus.left_out;
    assert_eq!((corpus.labels.len(), &*corpus.labels[0]), (44, "earn"));
    assert_eq!(corpus.train.len() + corpus.meta.len() + duplicates, 7049);
    assert_eq!((corpus.test.len(), duplicates, without_text), (3096, 2, 21_578 - 19_043));
    let mut texts = corpus.train.iter().chain(&corpus.test).map(|document| &document.text);
    assert!(texts.all(|text| !text.contains(['<', '\u{3}'])));
}

fn bert_ids_are_those_of_the_python_package(folder: &Path) {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/word_pieces/cases.json");
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(cases).unwrap()).unwrap();
    for file in ["vocab.txt", "tokenizer.json"] {
        let pieces = WordPieces::open(&folder.join(file)).unwrap();
        assert_eq!((pieces.size(), pieces.pad_id(), pieces.mask_id()), (30_522, 0, Some(103)));
        let ids = cases["bert_ids"].as_array().unwrap();
        let texts = cases["texts"].as_array().unwrap();
        assert_eq!(ids.len(), texts.len());
        for (text, ids) in texts.iter().zip(ids) {
            let encoded = pieces.encode(text.as_str().unwrap(), 256, Ends::Bare).unwrap();
            let ids: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
            assert_eq!(encoded.ids[..encoded.used], ids, "{file}: {text}");
        }
    }
}

/// Opens pairs, reads every picture, and checks the numbers of pairs and categories.
fn check_pairs(name: PairName, folder: &Path, pairs: usize, classes: usize) {
    let scratch = std::env::temp_dir();
    let found = open_pairs(name, folder, &scratch, &PairOptions::default()).unwrap();
    assert_eq!(found.train.images.len() + found.test.images.len(), pairs);
    assert_eq!(found.train.images.classes().len(), classes);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    for part in [&found.train, &found.test] {
        assert!(part.captions.iter().all(|caption| !caption.is_empty()));
        for index in 0..part.images.len() {
            let image = part.images.image(index).unwrap();
            assert_eq!(image.height(), image.width(), "{}", part.images.describe(index));
        }
    }
}

fn stamps(folder: &Path) {
    check_pairs(PairName::TuxpaintStamps, folder, 785, 16);
}

fn emoji(folder: &Path) {
    check_pairs(PairName::Emoji, folder, 1906, 9);
}
