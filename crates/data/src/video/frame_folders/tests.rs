//! Folders of frames as users have them.

use std::fs;

use ::image::ImageFormat;

use super::*;
use crate::image::tests::{encode, gradient};

fn order(names: &[&str]) -> Result<Vec<String>, String> {
    let files = in_order(names.iter().map(PathBuf::from).collect())?;
    Ok(files.iter().map(|path| path.display().to_string()).collect())
}

#[test]
fn frames_are_ordered_by_number_and_gaps_refused() {
    let gap = order(&["f10.png", "f2.png", "f1.png", "f3.png"]).unwrap_err();
    assert_eq!(gap, "frames are missing between f3.png and f10.png");
    assert_eq!(order(&["10.jpg", "8.jpg", "9.jpg"]).unwrap(), ["8.jpg", "9.jpg", "10.jpg"]);
    // A constant step of five is not a gap.
    assert_eq!(order(&["0.jpg", "10.jpg", "5.jpg"]).unwrap(), ["0.jpg", "5.jpg", "10.jpg"]);
    assert_eq!(order(&["b.jpg", "a.jpg"]).unwrap(), ["b.jpg", "a.jpg"]);
    let twice = order(&["1.jpg", "01.jpg"]).unwrap_err();
    assert!(twice.contains("01.jpg and 1.jpg"), "{twice}");
    assert_eq!(order(&["only.jpg"]).unwrap(), ["only.jpg"]);
    // One name without a number leaves the order to the names.
    let among = order(&["f1.jpg", "f10.jpg", "f2.jpg", "thumb.jpg"]).unwrap_err();
    assert!(among.starts_with("thumb.jpg has no number"), "{among}");
    assert!(among.contains("f10.jpg before f2.jpg"), "{among}");
    for names in [["f01.jpg", "f02.jpg", "thumb.jpg"], ["a2.jpg", "b1.jpg", "end.jpg"]] {
        assert_eq!(order(&names).unwrap(), names);
    }
}

/// A folder of pictures of 6 × 8 pixels; those called `8.png` have one row more.
fn tree(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in paths {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let number = number(&path).unwrap_or(0);
        let height = if number == 8 { 7 } else { 6 };
        fs::write(&path, encode(&gradient(height, 8, number as u8), ImageFormat::Png)).unwrap();
    }
    root
}

fn splits(root: &tempfile::TempDir) -> (FrameFolders, Option<FrameFolders>, Vec<String>) {
    let mut notes = Vec::new();
    let options = VideoOptions { frame_rate: 12.0, ..VideoOptions::default() };
    let (train, test) = FrameFolders::splits(root.path(), &options, &mut notes).unwrap();
    (train, test, notes)
}

#[test]
fn folders_are_videos_with_and_without_classes() {
    let names = |source: &FrameFolders, root: &tempfile::TempDir| -> Vec<String> {
        let below = format!("{}/", root.path().display());
        (0..source.len()).map(|index| source.describe(index).replace(&below, "")).collect()
    };
    let root = tree(&["a/1.png", "a/2.png", "b/1.png"]);
    let (train, test, notes) = splits(&root);
    assert_eq!((names(&train, &root), test.is_none()), (vec!["a".into(), "b".into()], true));
    assert!(train.label_sets().is_empty() && notes.is_empty(), "{notes:?}");
    assert_eq!(train.timeline(0).unwrap(), Timeline { frames: 2, rate: 12.0 });

    let root =
        tree(&["train/run/x/1.png", "train/run/y/1.png", "train/walk/x/1.png", "val/walk/z/1.png"]);
    let (train, test, notes) = splits(&root);
    let test = test.unwrap();
    assert_eq!(names(&train, &root), ["train/run/x", "train/run/y", "train/walk/x"]);
    assert_eq!([0, 1, 2].map(|index| train.label(index, 0)), [0, 0, 1]);
    assert_eq!((names(&test, &root).len(), test.label(0, 0)), (1, 1));
    assert!(notes.is_empty(), "{notes:?}");

    // A folder between the frames of another does not make two videos of that one.
    let root = tree(&["v/a.png", "v/b/1.png", "v/c.png", "w/1.png"]);
    let (train, ..) = splits(&root);
    assert_eq!(names(&train, &root), ["v", "w", "v/b"]);

    // The frames of one video, directly in the folder.
    let root = tree(&["1.png", "2.png", "3.png"]);
    let (train, ..) = splits(&root);
    assert_eq!((train.len(), train.timeline(0).unwrap().frames), (1, 3));
    let frames = train.frames(0, &[0, 2], &Cancel::default()).unwrap();
    for (frame, seed) in frames.iter().zip([1, 3]) {
        let file = encode(&gradient(6, 8, seed), ImageFormat::Png);
        assert_eq!(*frame, Image::decode(&file).unwrap());
    }
}

#[test]
fn gaps_mixed_sizes_and_damage_are_errors_with_the_path() {
    let root = tree(&["gap/1.png", "gap/2.png", "gap/4.png", "mixed/7.png", "mixed/8.png"]);
    fs::create_dir(root.path().join("torn")).unwrap();
    fs::write(root.path().join("torn/1.png"), b"no picture").unwrap();
    let (train, ..) = splits(&root);
    let error = |index, wanted: &[u64]| {
        let timeline = train.timeline(index).map(|_| ());
        let read =
            timeline.and_then(|()| train.frames(index, wanted, &Cancel::default()).map(|_| ()));
        read.unwrap_err().to_string()
    };
    let gap = error(0, &[0]);
    assert!(gap.contains("/gap cannot be read: frames are missing between 2.png and 4.png"));
    let mixed = error(1, &[0, 1]);
    assert!(mixed.contains("mixed/8.png") && mixed.contains("7 × 8"), "{mixed}");
    assert!(mixed.contains("7.png beside it has 6 × 8"), "{mixed}");
    assert!(error(2, &[0]).contains("torn/1.png"));
    let empty = tempfile::tempdir().unwrap();
    let options = VideoOptions::default();
    let error = FrameFolders::splits(empty.path(), &options, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("holds no folders of frames"), "{error}");
    let options = VideoOptions { frame_rate: 0.0, ..options };
    let error = FrameFolders::splits(root.path(), &options, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("frame_rate = 0"), "{error}");
}
