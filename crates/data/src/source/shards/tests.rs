//! Tar files as users have them, valid and malicious.

use std::fs;

use bauta_datasets::{DatasetName, OpenOptions};
use image::ImageFormat;

use super::*;
use crate::image::tests::{encode, gradient};
use crate::regular::tests::make_pipe;
use crate::splits::{Splits, open_splits};

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn picture(seed: u8, format: ImageFormat) -> Vec<u8> {
    encode(&gradient(5, 4, seed), format)
}

fn open(files: &[(&str, Vec<u8>)]) -> Result<(tempfile::TempDir, Shards), DataError> {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(root.path().join(name), bytes).unwrap();
    }
    Shards::open(Split::Train, root.path()).map(|shards| (root, shards))
}

#[test]
fn samples_come_in_order_with_their_labels() {
    let first = tar(&[
        ("b/1.cls", b"2\n".to_vec()),
        ("b/1.png", picture(1, ImageFormat::Png)),
        ("a/0.seg.json", b"{}".to_vec()),
        ("a/0.jpg", picture(2, ImageFormat::Jpeg)),
        ("a/0.cls", b"0".to_vec()),
    ]);
    let second = tar(&[("a/0.webp", picture(3, ImageFormat::WebP)), ("a/0.cls", b"1".to_vec())]);
    let files = [("s-1.tar", second), ("s-0.tar", first), ("notes.txt", vec![])];
    let (_root, shards) = open(&files).unwrap();
    let labels: Vec<_> = (0..shards.len()).map(|index| shards.label(index)).collect();
    assert_eq!(labels, [Some(2), Some(0), Some(1)]);
    assert_eq!(shards.classes(), ["0", "1", "2"]);
    assert!(shards.describe(0).ends_with("s-0.tar:b/1.png"), "{}", shards.describe(0));
    let expected = Image::decode(&picture(1, ImageFormat::Png)).unwrap();
    assert_eq!(shards.image(0).unwrap(), expected);
    assert_eq!(shards.image(2).unwrap().width(), 4);
}

#[test]
fn compressed_tar_files_are_refused_and_never_left_out() {
    let plain = || tar(&[("0.png", picture(1, ImageFormat::Png))]);
    for name in ["s-1.tar.gz", "s-1.TGZ", "s-1.tar.zst"] {
        for files in [vec![(name, plain())], vec![("s-0.tar", plain()), (name, plain())]] {
            let error = open(&files).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("compressed"), "{error}");
        }
    }
    assert!(open(&[("s-0.tar", plain()), ("notes.txt.gz", vec![])]).is_ok());
    let error = open(&[("s.tar", b"\x1F\x8B\x08 and so on".to_vec())]).unwrap_err().to_string();
    assert!(error.contains("s.tar: it is compressed; unpack it with gunzip"), "{error}");
    let error = open(&[("s.tar", vec![b'x'; 2048])]).unwrap_err().to_string();
    assert!(error.contains("s.tar: it is not a tar file"), "{error}");
}

#[test]
fn joined_archives_are_refused() {
    let joined = [tar(&[png("0.png", 1)]), tar(&[png("1.png", 2)])].concat();
    let error = open(&[("s.tar", joined)]).unwrap_err().to_string();
    assert!(error.contains("several tar files were joined"), "{error}");
    let padded = [tar(&[png("0.png", 1)]), vec![0; 10_240]].concat();
    assert!(open(&[("s.tar", padded)]).is_ok());
}

#[test]
fn samples_that_are_left_out_are_told() {
    let root = tempfile::tempdir().unwrap();
    let files =
        [png("0.png", 1), cls("0.cls", 0), ("1.gif", vec![]), cls("1.cls", 0), cls("2.cls", 0)];
    fs::write(root.path().join("s.tar"), tar(&files)).unwrap();
    let options = OpenOptions::default();
    let notes = open_splits(DatasetName::Shards, root.path(), &options).unwrap().notes.join("; ");
    assert!(notes.contains("pictures of other formats are left out: 1 (1.gif)"), "{notes}");
    assert!(notes.contains("samples with a KEY.cls but no picture are left out: 1 (2)"));
}

/// An archive's entry that is not a plain file.
fn entry(name: &str, kind: tar::EntryType, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    if target.is_empty() {
        builder.append_data(&mut header, name, &[][..]).unwrap();
    } else {
        builder.append_link(&mut header, name, target).unwrap();
    }
    without_end(builder.into_inner().unwrap())
}

/// An archive without the zeros at its end, so that another can follow.
fn without_end(mut archive: Vec<u8>) -> Vec<u8> {
    archive.truncate(archive.len() - 1024);
    archive
}

fn png(name: &str, seed: u8) -> (&str, Vec<u8>) {
    (name, picture(seed, ImageFormat::Png))
}

fn cls(name: &str, class: u32) -> (&str, Vec<u8>) {
    (name, class.to_string().into_bytes())
}

#[test]
fn links_within_an_archive_are_followed_and_others_refused() {
    use tar::EntryType::{Fifo, Link, Symlink};
    let start = || without_end(tar(&[png("d/0.png", 1), cls("d/0.cls", 0), cls("d/1.cls", 1)]));
    let opened = |kind, target: &str| {
        let end = tar(&[png("d/2.png", 3), cls("d/2.cls", 0)]);
        open(&[("s.tar", [start(), entry("d/1.png", kind, target), end].concat())])
    };
    for (kind, target, seed) in [
        (Link, "d/0.png", 1),
        (Link, "./d/0.png", 1),
        (Symlink, "0.png", 1),
        (Symlink, "../d/0.png", 1),
        // A target that comes later in the archive is found as well.
        (Symlink, "2.png", 3),
    ] {
        let (_root, shards) = opened(kind, target).unwrap();
        assert_eq!(shards.len(), 3, "{target}");
        let labels = [0, 1, 2].map(|index| shards.label(index));
        assert_eq!(labels, [Some(0), Some(1), Some(0)]);
        let wanted = Image::decode(&picture(seed, ImageFormat::Png)).unwrap();
        assert_eq!(shards.image(1).unwrap(), wanted);
        assert!(shards.describe(1).ends_with("s.tar:d/1.png"));
    }
    for (kind, target, word) in [
        (Symlink, "/data/raw/1.png", "/data/raw/1.png"),
        (Symlink, "3.png", "not a file of the archive"),
        (Symlink, "1.png", "not a file of the archive"),
        (Link, "0.png", "not a file of the archive"),
        (Fifo, "", "not a plain file"),
    ] {
        let error = opened(kind, target).unwrap_err().to_string();
        assert!(error.contains("d/1.png") && error.contains(word), "{error}");
    }
}

#[test]
fn hidden_members_other_fields_and_case_do_not_matter() {
    let apple = || vec![0, 5, 22, 7, 0, 2, 0, 0];
    let (_root, shards) = open(&[(
        "s.TAR",
        tar(&[
            ("._0.png", apple()),
            ("__MACOSX/._0.png", apple()),
            (".hidden/0.png", apple()),
            png("./0.PNG", 1),
            ("0.seg.png", picture(2, ImageFormat::Png)),
            ("0.CLS", b"1".to_vec()),
            ("0.txt", b"a caption".to_vec()),
            ("0.json", b"{}".to_vec()),
            ("0.fine.cls", b"words".to_vec()),
            cls("1.cls", 0),
            ("1.image.png", picture(3, ImageFormat::Png)),
        ]),
    )])
    .unwrap();
    let labels = (0..shards.len()).map(|index| shards.label(index));
    assert_eq!(labels.collect::<Vec<_>>(), [Some(1), Some(0)]);
    for (index, seed) in [(0, 1), (1, 3)] {
        let wanted = Image::decode(&picture(seed, ImageFormat::Png)).unwrap();
        assert_eq!(shards.image(index).unwrap(), wanted);
    }
}

#[test]
fn tar_files_of_several_splits_in_one_folder_are_refused() {
    let opened = |names: [&str; 2]| {
        let root = tempfile::tempdir().unwrap();
        for (name, class) in names.into_iter().zip(0..) {
            let samples = tar(&[png("0.png", 1), cls("0.cls", class)]);
            fs::write(root.path().join(name), samples).unwrap();
        }
        let options = OpenOptions { holdout: Some(0.5), ..OpenOptions::default() };
        let opened = open_splits(DatasetName::Shards, root.path(), &options);
        opened.map(drop).map_err(|error| error.to_string())
    };
    for [train, test] in [
        ["train-000.tar", "val-000.tar"],
        ["imagenet-train-000.tar", "imagenet-validation-000.tar"],
        ["Train_0.tar", "test_0.tar"],
    ] {
        let refused = opened([train, test]).unwrap_err();
        let words = format!("{train} and {test} lie in one folder");
        assert!(refused.contains(&words), "{refused}");
    }
    for names in [["train-000.tar", "train-001.tar"], ["training0.tar", "contest.tar"]] {
        assert!(!opened(names).is_err_and(|error| error.contains("lie in one folder")));
    }
}

/// Opens both splits of one archive each.
fn splits(train: &[(&str, Vec<u8>)], test: &[(&str, Vec<u8>)]) -> Result<Splits, String> {
    let root = tempfile::tempdir().unwrap();
    for (folder, files) in [("train", train), ("val", test)] {
        fs::create_dir(root.path().join(folder)).unwrap();
        fs::write(root.path().join(folder).join("0.tar"), tar(files)).unwrap();
    }
    let opened = open_splits(DatasetName::Shards, root.path(), &OpenOptions::default());
    opened.map_err(|error| error.to_string())
}

#[test]
fn labels_of_both_splits_are_the_same_classes() {
    let train =
        [png("0.png", 0), cls("0.cls", 0), png("1.png", 0), cls("1.cls", 1), png("2.png", 0)];
    let train = [&train[..], &[cls("2.cls", 2)]].concat();
    let fewer = splits(&train, &[png("0.png", 1), cls("0.cls", 1)]).unwrap();
    let test = fewer.test.unwrap();
    assert_eq!((test.classes(), test.label(0)), (fewer.train.classes(), Some(1)));
    for (test, word) in [
        (vec![png("0.png", 1), cls("0.cls", 3)], "class 3 occurs"),
        (vec![png("0.png", 1)], "no KEY.cls"),
    ] {
        let error = splits(&train, &test).err().unwrap();
        assert!(error.contains("/val") && error.contains(word), "{error}");
    }
    let error = splits(&[png("0.png", 1)], &[png("0.png", 1), cls("0.cls", 0)]).err().unwrap();
    assert!(error.contains("training pictures have none"), "{error}");
    // A class without training pictures, although its number is lower than others.
    let gap = [png("0.png", 0), cls("0.cls", 0), png("1.png", 0), cls("1.cls", 2)];
    assert!(splits(&gap, &[png("0.png", 1), cls("0.cls", 1)]).is_err());
}

#[test]
fn a_part_of_the_samples_is_held_out() {
    let names: Vec<String> = (0..40).map(|i| format!("{i}.png")).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| png(name, 1)).collect();
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("0.tar"), tar(&files)).unwrap();
    let options = OpenOptions { holdout: Some(0.3), ..OpenOptions::default() };
    let splits = open_splits(DatasetName::Shards, root.path(), &options).unwrap();
    let test = splits.test.unwrap();
    assert_eq!(splits.train.len() + test.len(), 40);
    let trained: Vec<String> = (0..splits.train.len()).map(|i| splits.train.describe(i)).collect();
    assert!((0..test.len()).all(|index| !trained.contains(&test.describe(index))));
}

#[test]
fn a_shard_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("0.tar"), tar(&[png("0.png", 1)])).unwrap();
    make_pipe(&root.path().join("1.tar"));
    let error = Shards::open(Split::Train, root.path()).unwrap_err().to_string();
    assert!(error.contains("1.tar: is a pipe"), "{error}");
}

#[test]
fn an_archive_that_ends_between_two_samples_is_cut_off() {
    let whole = tar(&[png("0.png", 1), png("1.png", 2)]);
    for length in (0..whole.len() - 512).step_by(512) {
        assert!(open(&[("s.tar", whole[..length].to_vec())]).is_err(), "{length}");
    }
    // One block of zeros is enough to end an archive.
    assert!(open(&[("s.tar", whole[..whole.len() - 512].to_vec())]).is_ok());
}

#[test]
fn what_is_wrong_with_labels_and_names_is_said() {
    for (files, words) in [
        (vec![png("1.png", 0), cls("1.cls", 1), cls("1.cls", 1)], &["1.cls", "twice"][..]),
        (vec![png("1.png", 0), cls("1.cls", 1_048_575)], &["1048575", "only 1 classes"]),
        (vec![png("1.png", 0), cls("1.cls", u32::MAX)], &["4294967295"]),
        (vec![png("1.png", 0), ("1.cls", b"-1".to_vec())], &["1.cls", "\"-1\"", "class number"]),
        (vec![png("1.png", 0), ("1.jpg", vec![])], &["1.png and 1.jpg", "two pictures"]),
        (vec![png("img.0.png", 0), png("img.1.png", 1)], &["img.0.png and img.1.png", "dot"]),
    ] {
        let error = open(&[("s.tar", tar(&files))]).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
    // A thousand classes are accepted, however few of them occur.
    assert!(open(&[("s.tar", tar(&[png("1.png", 0), cls("1.cls", 999)]))]).is_ok());
}

#[test]
fn hostile_shards_are_errors() {
    let one = || ("1.png", picture(1, ImageFormat::Png));
    let whole = tar(&[one()]);
    let table: [(&str, Vec<u8>); 6] = [
        ("cut within a picture", whole[..600].to_vec()),
        ("not a tar file", vec![b'x'; 2048]),
        ("no pictures", tar(&[("1.cls", b"1".to_vec())])),
        ("two pictures", tar(&[one(), ("1.jpg", vec![])])),
        ("a label of letters", tar(&[one(), ("1.cls", b"cat".to_vec())])),
        ("only some labels", tar(&[one(), ("1.cls", b"1".to_vec()), ("2.png", vec![])])),
    ];
    for (what, bytes) in table {
        assert!(open(&[("s.tar", bytes)]).is_err(), "{what}");
    }
    // A corrupt picture is found when it is read, and named.
    let (_root, shards) = open(&[("s.tar", tar(&[("1.png", b"no".to_vec())]))]).unwrap();
    let error = shards.image(0).unwrap_err().to_string();
    assert!(error.contains("s.tar:1.png"), "{error}");
}
