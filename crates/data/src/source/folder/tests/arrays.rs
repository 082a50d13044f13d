//! Folders of `.npy` arrays.

use super::*;

#[test]
fn arrays_of_any_channels_are_pictures_with_measured_statistics() {
    let root = tempfile::tempdir().unwrap();
    for (name, value) in [("a", 10), ("b", 30)] {
        let file = npy::tests::encode("|u1", "(5, 2, 3)", &[value; 30]);
        fs::write(root.path().join(name).with_extension("npy"), file).unwrap();
    }
    let splits = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default()).unwrap();
    assert_eq!((splits.train.len(), splits.train.channels()), (2, 5));
    let Statistics { mean, std, .. } = splits.train.statistics();
    assert_eq!((&mean[..], &std[..]), (&[20.0 / 255.0; 5][..], &[10.0 / 255.0; 5][..]));
}

#[test]
fn what_is_held_out_is_not_measured() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..40_u8 {
        let file = npy::tests::encode("|u1", "(1, 1, 1)", &[6 * number]);
        fs::write(root.path().join(format!("{number:02}.npy")), file).unwrap();
    }
    let usual = OpenOptions::default;
    let whole = open_splits(DatasetName::Folder, root.path(), &usual()).unwrap().train.statistics();
    for options in [
        OpenOptions { holdout: Some(0.3), ..usual() },
        OpenOptions { validation: Some(0.3), ..usual() },
    ] {
        let splits = open_splits(DatasetName::Folder, root.path(), &options).unwrap();
        let measured = Statistics::measure(&*splits.train, usize::MAX).unwrap();
        assert_ne!(measured, whole);
        assert_eq!(splits.train.statistics(), measured);
        assert_eq!(splits.test.unwrap().statistics(), measured);
    }
    // The training split alone is measured as well.
    let alone = crate::open(DatasetName::Folder, Split::Train, root.path()).unwrap();
    assert_eq!(alone.statistics(), whole);
}

#[test]
fn arrays_unlike_the_first_are_refused_at_opening() {
    let bytes = |shape: &str| npy::tests::encode("|u1", shape, &[0; 4]);
    let values = npy::tests::encode("<f4", "(1, 2, 2)", &[0; 16]);
    for (odd, words) in
        [(bytes("(2, 2)"), "it has 1 channels, but"), (values, "it holds float32, but")]
    {
        let root = tempfile::tempdir().unwrap();
        let channels = if words.contains("channels") { "(2, 1, 2)" } else { "(1, 2, 2)" };
        for (name, array) in [("0.npy", bytes(channels)), ("1.npy", odd), ("2.npy", vec![0; 9])] {
            fs::write(root.path().join(name), array).unwrap();
        }
        let refused = Folder::all(root.path(), Decoding::default()).unwrap_err().to_string();
        assert!(refused.contains("1.npy") && refused.contains(words), "{refused}");
        assert!(refused.contains("1 of 3 arrays"), "{refused}");
    }
}

#[test]
fn arrays_of_both_splits_are_of_one_kind_before_anything_trains() {
    for (descr, shape, bytes, words) in [
        ("|u1", "(5, 2, 2)", 20, "5 channels"),
        ("<u2", "(4, 2, 2)", 32, "uint16"),
        ("<f4", "(4, 2, 2)", 64, "float32"),
    ] {
        let root = tempfile::tempdir().unwrap();
        for (split, descr, shape, bytes) in
            [("train", "|u1", "(4, 2, 2)", 16), ("val", descr, shape, bytes)]
        {
            fs::create_dir(root.path().join(split)).unwrap();
            let file = npy::tests::encode(descr, shape, &vec![0; bytes]);
            fs::write(root.path().join(split).join("a.npy"), file).unwrap();
        }
        let opened = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default());
        let error = opened.err().unwrap().to_string();
        assert!(error.contains(words) && error.contains("val/a.npy"), "{error}");
    }
}
