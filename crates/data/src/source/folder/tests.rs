//! Folders as users have them.

mod arrays;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use bauta_datasets::{DatasetName, OpenOptions};
use image::ImageFormat;

use super::*;
use crate::image::tests::{encode, gradient};
use crate::regular::tests::make_pipe;
use crate::splits::{TestOrigin, check_splits, open_splits};

fn write(path: PathBuf, format: ImageFormat) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encode(&gradient(8, 6, 1), format)).unwrap();
}

#[test]
fn class_folders_are_sorted_and_splits_agree() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    write(at("train/dog/2.PNG"), ImageFormat::Png);
    write(at("train/dog/deep/1.webp"), ImageFormat::WebP);
    write(at("train/cat/9.jpeg"), ImageFormat::Jpeg);
    write(at("train/cat/.hidden.png"), ImageFormat::Png);
    write(at("val/dog/1.jpg"), ImageFormat::Jpeg);
    fs::write(at("train/dog/notes.txt"), "not a picture").unwrap();

    let train = Folder::open(Split::Train, root.path()).unwrap();
    assert_eq!(train.classes(), ["cat", "dog"]);
    let labels: Vec<_> = (0..train.len()).map(|index| train.label(index)).collect();
    assert_eq!(labels, [Some(0), Some(1), Some(1)]);
    assert!(train.describe(1).ends_with("2.PNG"), "{}", train.describe(1));
    for index in 0..train.len() {
        let image = train.image(index).unwrap();
        assert_eq!((image.height(), image.width(), image.channels()), (8, 6, 3));
    }
    // Only one class, with its number in the training split.
    let val = Folder::open(Split::Test, root.path()).unwrap();
    assert_eq!((val.len(), val.label(0)), (1, Some(1)));

    write(at("val/emu/1.jpg"), ImageFormat::Jpeg);
    let error = Folder::open(Split::Test, root.path()).unwrap_err().to_string();
    assert!(error.contains("emu"), "{error}");
}

#[test]
fn a_flat_folder_has_no_labels() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    assert!(Folder::open(Split::Train, root.path()).is_err(), "an empty folder");
    write(at("b.png"), ImageFormat::Png);
    write(at("a.jpg"), ImageFormat::Jpeg);
    let folder = Folder::open(Split::Train, root.path()).unwrap();
    assert_eq!((folder.len(), folder.label(0), folder.classes().len()), (2, None, 0));
    assert!(folder.describe(0).ends_with("a.jpg"));
    let error = Folder::open(Split::Test, root.path()).unwrap_err().to_string();
    assert!(error.contains("val/") && error.contains("train/CLASS/*.jpg"), "{error}");
}

#[test]
fn a_corrupt_picture_is_named() {
    let root = tempfile::tempdir().unwrap();
    let whole = encode(&gradient(8, 6, 1), ImageFormat::Png);
    fs::write(root.path().join("broken.png"), &whole[..whole.len() / 2]).unwrap();
    let folder = Folder::open(Split::Train, root.path()).unwrap();
    let error = folder.image(0).unwrap_err().to_string();
    assert!(error.contains("broken.png"), "{error}");
}

/// Writes a small picture at each path.
fn tree(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in paths {
        write(root.path().join(path), ImageFormat::Png);
    }
    root
}

/// Opens a folder: names and classes of both splits, and the notes.
fn opened(root: &tempfile::TempDir) -> Result<[String; 3], String> {
    let of = |source: &dyn Source| -> String {
        let name = |index| {
            let path = source.describe(index);
            let below = path.strip_prefix(root.path().to_str().unwrap()).unwrap();
            let class = source.label(index).map(|label| &source.classes()[label as usize]);
            format!("{}={}", &below[1..], class.map_or("", String::as_str))
        };
        (0..source.len()).map(name).collect::<Vec<_>>().join(" ")
    };
    let splits = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default());
    let splits = splits.map_err(|error| error.to_string())?;
    let test = splits.test.as_ref().map_or_else(|| "none".to_owned(), |test| of(&**test));
    Ok([of(&*splits.train), test, splits.notes.join("; ")])
}

#[test]
fn every_layout_is_understood_and_what_could_surprise_is_said() {
    for (paths, train, test, note) in [
        (&["b.png", "a.png"][..], "a.png= b.png=", "none", ""),
        (&["x/1.png", "y/z/2.png"], "x/1.png=x y/z/2.png=y", "none", ""),
        (&["x/1.png", "x/deep/2.png"], "x/1.png= x/deep/2.png=", "none", "one subfolder"),
        (&["0.png", "x/1.png", "y/2.png"], "0.png= x/1.png= y/2.png=", "none", "without classes"),
        (
            &["train/x/1.png", "train/y/2.png", "val/y/3.png"],
            "train/x/1.png=x train/y/2.png=y",
            "val/y/3.png=y",
            "",
        ),
        (&["Training/1.png", "testing/2.png"], "Training/1.png=", "testing/2.png=", ""),
        (
            &["train/1.png", "val/notes.txt"],
            "train/1.png=",
            "none",
            "without pictures, and left out: val/",
        ),
        (&["train_x/1.png", "cat/2.png"], "cat/2.png=cat train_x/1.png=train_x", "none", ""),
        (
            &["train/1.png", "val/2.png", "test/3.png"],
            "train/1.png=",
            "val/2.png=",
            "in test/ are left out",
        ),
        // Classes named like splits.
        (
            &["bus/1.png", "car/2.png", "train/3.png"],
            "bus/1.png=bus car/2.png=car train/3.png=train",
            "none",
            "train/ is one of them, not a split",
        ),
        (
            &["control/1.png", "test/2.png"],
            "control/1.png=control test/2.png=test",
            "none",
            "test/ is one of them, not a split",
        ),
        // A file of another kind is no reason to leave a picture out.
        (
            &["x/1.png", "y/2.png", "train/notes.txt"],
            "x/1.png=x y/2.png=y",
            "none",
            "without pictures, and not counted as classes: train/",
        ),
    ] {
        let root = tree(paths);
        if let Some(text) = paths.iter().find(|path| path.ends_with("txt")) {
            fs::write(root.path().join(text), "no picture").unwrap();
        }
        let [of_train, of_test, notes] = opened(&root).unwrap();
        assert_eq!((of_train.as_str(), of_test.as_str()), (train, test), "{paths:?}");
        assert!(notes.contains(note) && notes.is_empty() == note.is_empty(), "{paths:?}: {notes}");
    }
}

#[test]
fn what_would_be_left_out_or_mixed_is_refused() {
    for (paths, words) in [
        (&["train/x/1.png", "val/x/1.png", "extra/2.png"][..], &["train/", "extra/"][..]),
        (&["train/x/1.png", "bus/2.png"], &["train/", "bus/"]),
        (&["train/1.png", "val/1.png", "bus/2.png"], &["val/", "bus/"]),
        (&["test/1.png", "train_images/2.png"], &["test/", "train_images/"]),
        (&["train/1.png", "2.png"], &["train/", "1 pictures directly"]),
        (&["train2017/1.png", "val2017/2.png"], &["train2017/ and val2017/ look like splits"]),
        (&["seg_train/x/1.png", "seg_test/x/1.png"], &["seg_train/ and seg_test/ look like"]),
        (&["train/1.png", "training/2.png", "val/3.png"], &["train/, training/ could be the"]),
        (&["Train/1.png", "train/2.png"], &["Train/, train/ could be the training split"]),
        (&["set/train/1.png", "set/val/2.png"], &["set; name that folder"]),
        (&["val/1.png"], &["to train on beside val/", "train/CLASS/*.jpg"]),
        (&["notes.txt"], &["JPEG", "train/CLASS/*.jpg and val/CLASS/*.jpg"]),
        // Splits of two layouts.
        (
            &["train/x/1.png", "train/y/1.png", "val/1.png", "val/2.png"],
            &["/val: 2 pictures lie directly in it", "x, y"],
        ),
        (&["train/1.png", "val/x/1.png", "val/y/2.png"], &["/val: ", "x, y"]),
        (&["train/x/1.png", "train/y/1.png", "val/emu/1.png"], &["/val: ", "`emu`", "x, y"]),
    ] {
        let root = tree(paths);
        if paths == ["notes.txt"] {
            fs::write(root.path().join("notes.txt"), "no picture").unwrap();
        }
        let error = opened(&root).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{paths:?}: {error}");
        }
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn all_pictures_are_every_picture_whatever_folders_are_called() {
    let root = tree(&["train/x/1.png", "extra/2.png", "3.png", ".hidden/4.png", "__MACOSX/5.png"]);
    let all = Folder::all(root.path(), Decoding::default()).unwrap();
    let names: Vec<String> = (0..all.len()).map(|index| all.describe(index)).collect();
    let root = root.path().display();
    let wanted = ["3.png", "extra/2.png", "train/x/1.png"].map(|name| format!("{root}/{name}"));
    assert_eq!(names, wanted);
    assert!(all.classes().is_empty() && all.label(0).is_none());
}

#[test]
fn two_folders_never_become_one_class() {
    let root = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        for class in [&b"caf\xe9"[..], b"caf\xe8", "caf\u{e9}".as_bytes()] {
            let folder = root.path().join(split).join(OsStr::from_bytes(class));
            write(folder.join("1.png"), ImageFormat::Png);
        }
    }
    let splits = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default()).unwrap();
    let test = splits.test.unwrap();
    for source in [&splits.train, &test] {
        assert_eq!(source.classes(), ["caf\u{e9}", "caf\\xE8", "caf\\xE9"]);
        assert_eq!([0, 1, 2].map(|index| source.label(index)), [Some(0), Some(1), Some(2)]);
    }
}

#[test]
fn empty_classes_and_what_systems_leave_behind_are_no_classes() {
    let root = tree(&["train/x/1.png", "train/y/1.png", "train/__MACOSX/x/2.png", "val/x/1.png"]);
    fs::create_dir(root.path().join("train/zebra")).unwrap();
    for name in ["Thumbs.db", ".DS_Store", "._1.png"] {
        fs::write(root.path().join("train/x").join(name), "x").unwrap();
    }
    write(root.path().join("train/@eaDir/1.png/thumbnail.png"), ImageFormat::Png);
    let [train, _, notes] = opened(&root).unwrap();
    assert_eq!(train, "train/x/1.png=x train/y/1.png=y");
    assert!(notes.contains("zebra/"), "{notes}");
    write(root.path().join("val/zebra/1.png"), ImageFormat::Png);
    assert!(
        opened(&root)
            .unwrap_err()
            .contains("none of the training pictures has its classes `zebra`")
    );
}

#[test]
fn what_is_not_read_beside_pictures_is_told() {
    let root = tree(&["x/1.png", "y/1.png", "x/2.npy", "y/3.bmp"]);
    let mut notes = Vec::new();
    Folder::splits(root.path(), Decoding::default(), &mut notes).unwrap();
    let told = notes.join(" ");
    assert!(told.contains("pictures of other formats are left out: 1 ("), "{told}");
    assert!(told.contains(".npy arrays beside pictures are left out: 1 ("), "{told}");
    assert!(told.contains("2.npy") && told.contains("3.bmp"), "{told}");
    let root = tree(&["1.bmp", "2.tiff"]);
    let refused = Folder::all(root.path(), Decoding::default()).unwrap_err().to_string();
    assert!(refused.contains("unsupported formats") && refused.contains("2.tiff"), "{refused}");
}

#[test]
fn files_that_are_left_out_are_told_where_all_are_taken() {
    let root = tree(&["1.png", "2.gif"]);
    let mut notes = Vec::new();
    Listed::all(root.path(), PICTURES, &mut notes).unwrap();
    assert!(notes[0].contains("other formats are left out: 1 (") && notes[0].contains("2.gif"));
    // One stray picture does not hide a folder of arrays.
    let root = tree(&["1.npy", "2.npy", "3.png"]);
    let refused = Folder::all(root.path(), Decoding::default()).unwrap_err().to_string();
    assert!(refused.contains("more .npy arrays (2) than pictures (1, such as "), "{refused}");
}

#[test]
fn one_folder_is_never_two_classes_or_both_splits() {
    let root = tree(&["train/x/1.png", "train/y/2.png"]);
    symlink(root.path().join("train"), root.path().join("val")).unwrap();
    let refused = opened(&root).unwrap_err();
    assert!(refused.contains("train and val are the same folder"), "{refused}");
    let root = tree(&["x/1.png", "y/2.png"]);
    symlink(root.path().join("x"), root.path().join("z")).unwrap();
    let refused = opened(&root).unwrap_err();
    assert!(refused.contains("classes x and z are the same folder"), "{refused}");
}

#[test]
fn links_are_followed_and_those_that_lead_nowhere_are_named() {
    let elsewhere = tree(&["dogs/2.png"]);
    let root = tree(&["cat/1.png"]);
    let link = |to: &Path, name: &str| symlink(to, root.path().join(name)).unwrap();
    link(&elsewhere.path().join("dogs"), "dog");
    let splits = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default()).unwrap();
    assert_eq!((splits.train.len(), splits.train.classes().len()), (2, 2));
    splits.train.image(1).unwrap();
    link(Path::new("/nowhere/1.png"), "cat/gone.png");
    let error = opened(&root).unwrap_err();
    assert!(error.contains("gone.png") && error.contains("/nowhere/1.png"), "{error}");
    fs::remove_file(root.path().join("cat/gone.png")).unwrap();
    link(root.path(), "cat/round");
    assert!(opened(&root).unwrap_err().contains("links back to"));
}

#[test]
fn pictures_of_other_formats_are_left_out_and_counted() {
    let root = tree(&["x/1.png", "y/2.png"]);
    for name in ["x/3.bmp", "y/4.TIFF", "y/5.pgm", "y/6.jfif", "y/notes.txt"] {
        fs::write(root.path().join(name), "x").unwrap();
    }
    let [train, _, notes] = opened(&root).unwrap();
    assert_eq!(train, "x/1.png=x y/2.png=y");
    assert!(notes.contains("other formats are left out: 4") && notes.contains("3.bmp"), "{notes}");
}

#[test]
fn pipes_and_devices_are_never_opened() {
    let root = tree(&["x/1.png", "y/2.png"]);
    make_pipe(&root.path().join("x/pipe.png"));
    symlink("/dev/zero", root.path().join("y/zeros.png")).unwrap();
    let [train, _, notes] = opened(&root).unwrap();
    assert_eq!(train, "x/1.png=x y/2.png=y");
    assert!(notes.contains("pipe.png") && notes.contains("zeros.png"), "{notes}");
    // Pipes alone are not a folder of pictures.
    let root = tempfile::tempdir().unwrap();
    make_pipe(&root.path().join("a.png"));
    assert!(opened(&root).unwrap_err().contains("holds no JPEG"));
}

#[test]
fn a_part_is_held_out_where_there_is_no_test_split() {
    let paths: Vec<String> = (0..60).map(|i| format!("{}/{i}.png", ["x", "y"][i % 2])).collect();
    let root = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let options = OpenOptions { holdout: Some(0.25), ..OpenOptions::default() };
    let held = |root: &Path| {
        let splits = open_splits(DatasetName::Folder, root, &options).unwrap();
        assert_eq!(splits.origin, TestOrigin::HeldOut(0.25));
        let test = splits.test.unwrap();
        check_splits(&*splits.train, &*test).unwrap();
        let of = |source: &dyn Source| -> Vec<PathBuf> {
            let path = |index| PathBuf::from(source.describe(index));
            (0..source.len()).map(|i| path(i).strip_prefix(root).unwrap().to_owned()).collect()
        };
        let (train, test) = (of(&*splits.train), of(&*test));
        assert!(test.iter().all(|path| !train.contains(path)) && !test.is_empty());
        (test, train.len())
    };
    let (first, trained) = held(root.path());
    assert_eq!(first.len() + trained, 60);
    // The same in a copy elsewhere, and after other pictures are added.
    let moved = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    write(moved.path().join("y/new.png"), ImageFormat::Png);
    let (mut second, _) = held(moved.path());
    second.retain(|path| !path.ends_with("new.png"));
    assert_eq!(first, second);
    // The folder's own split takes precedence.
    let root = tree(&["train/1.png", "val/2.png"]);
    let splits = open_splits(DatasetName::Folder, root.path(), &options).unwrap();
    assert_eq!((splits.origin, splits.test.unwrap().len()), (TestOrigin::Own, 1));
}

#[test]
fn settings_are_chosen_on_training_images_and_not_on_the_test_split() {
    let paths: Vec<String> = (0..60)
        .map(|i| format!("{}/{}/{i}.png", ["train", "train", "val"][i % 3], ["x", "y"][i % 2]))
        .collect();
    let root = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let options = OpenOptions { validation: Some(0.25), ..OpenOptions::default() };
    let splits = open_splits(DatasetName::Folder, root.path(), &options).unwrap();
    assert_eq!(splits.origin, TestOrigin::Validation(0.25));
    let test = splits.test.unwrap();
    check_splits(&*splits.train, &*test).unwrap();
    let of = |source: &dyn Source| -> Vec<String> {
        (0..source.len()).map(|index| source.describe(index)).collect()
    };
    let (train, test) = (of(&*splits.train), of(&*test));
    assert_eq!(train.len() + test.len(), 40);
    assert!(!test.is_empty() && test.iter().all(|path| !train.contains(path)));
    assert!(train.iter().chain(&test).all(|path| !path.contains("val")));
    for fraction in [0.0, 1.0] {
        let options = OpenOptions { validation: Some(fraction), ..OpenOptions::default() };
        let refused = open_splits(DatasetName::Folder, root.path(), &options).map(drop);
        assert!(refused.unwrap_err().to_string().contains("must be in (0, 1)"));
    }
    // The setting that was given is the one that is named.
    let options = OpenOptions { validation: Some(1e-9), ..OpenOptions::default() };
    let refused = open_splits(DatasetName::Folder, root.path(), &options).map(drop);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("validation = ") && refused.contains("none would be"), "{refused}");
}
