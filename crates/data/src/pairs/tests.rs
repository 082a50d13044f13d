//! Folders of pairs, whole and broken.

use std::collections::BTreeSet;
use std::fs;

use super::files::squared;
use super::*;
use crate::image::Image;

/// Opens pairs with the system's folder for temporary files.
pub(super) fn opened(
    name: PairName,
    root: &Path,
    options: &PairOptions,
) -> Result<PairSplits, DataError> {
    open_pairs(name, root, &std::env::temp_dir(), options)
}

/// The error that refuses a user's folder.
pub(super) fn refusal(root: &Path) -> String {
    opened(PairName::Pairs, root, &PairOptions::default()).err().unwrap().to_string()
}

/// All captions of both splits, sorted.
pub(super) fn captions(splits: &PairSplits) -> Vec<&str> {
    let both = splits.train.captions.iter().chain(&splits.test.captions);
    let mut all: Vec<&str> = both.map(String::as_str).collect();
    all.sort_unstable();
    all
}

/// A grey PNG of 4 × 2 pixels.
pub(super) fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[9; 8]).unwrap();
    bytes
}

fn folder(names: &[(&str, Option<&[u8]>)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, caption) in names {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !name.ends_with(".txt") {
            fs::write(&path, png()).unwrap();
        }
        if let Some(caption) = caption {
            fs::write(path.with_extension("txt"), caption).unwrap();
        }
    }
    root
}

fn many() -> tempfile::TempDir {
    let names: Vec<(String, String)> = (0..40)
        .map(|i| (format!("{}/{i}.png", ["cats", "dogs"][i % 2]), format!("Number {}!", i / 2)))
        .collect();
    let names: Vec<(&str, Option<&[u8]>)> =
        names.iter().map(|(name, caption)| (&**name, Some(caption.as_bytes()))).collect();
    folder(&names)
}

#[test]
fn captions_never_stand_in_both_splits() {
    let root = many();
    let found = opened(PairName::Pairs, root.path(), &PairOptions::default()).unwrap();
    let (train, test) = (&found.train, &found.test);
    assert_eq!(train.images.len() + test.images.len(), 40);
    assert_eq!(train.captions.len(), train.images.len());
    let of = |part: &Captioned| part.captions.iter().cloned().collect::<BTreeSet<_>>();
    assert!(of(train).is_disjoint(&of(test)), "{:?} {:?}", train.captions, test.captions);
    assert_eq!(train.images.classes(), ["cats", "dogs"]);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let limit = PairOptions { limit: Some(6), ..PairOptions::default() };
    let few = opened(PairName::Pairs, root.path(), &limit).unwrap();
    assert_eq!((few.train.images.len(), few.test.images.len()), (6, test.images.len()));
}

#[test]
fn halves_of_pairs_are_counted_named_and_trained_on_or_left_out() {
    let names: [(&str, Option<&[u8]>); 9] = [
        ("a.png", Some(b"one")),
        ("b.png", Some(b"two")),
        ("c.png", Some(b"three")),
        ("d.png", Some(b"four")),
        ("e.png", Some(b"five")),
        ("f.png", Some(b" \n")),
        ("g.png", None),
        ("alone.txt", Some(b"a caption  of\nits own")),
        ("nothing.txt", Some(b"")),
    ];
    let root = folder(&names);
    let options = PairOptions { holdout: 0.4, ..PairOptions::default() };
    let found = opened(PairName::Pairs, root.path(), &options).unwrap();
    let count = found.train.images.len() + found.test.images.len();
    assert_eq!(count, 7);
    assert_eq!(found.train.texts, ["a caption of its own"]);
    assert_eq!(found.train.captions.iter().filter(|caption| caption.is_empty()).count(), 2);
    assert!(found.test.captions.iter().all(|caption| !caption.is_empty()));
    let notes = found.notes.join("\n");
    assert!(notes.contains("pictures without a caption: 2 (f.png, g.png)"), "{notes}");
    assert!(notes.contains("captions without a picture: 1 (alone.txt)"), "{notes}");
    assert!(notes.contains("trained on as images only"), "{notes}");
    let options = PairOptions { unpaired: Unpaired::Skip, ..options };
    let found = opened(PairName::Pairs, root.path(), &options).unwrap();
    assert_eq!(found.train.images.len() + found.test.images.len(), 5);
    assert!(found.train.texts.is_empty());
    assert!(found.notes.iter().all(|note| note.ends_with("left out")), "{:?}", found.notes);
}

#[test]
fn a_held_out_caption_is_not_trained_on_without_a_picture() {
    let pairs = (0..20).map(|i| (format!("{i}.png"), format!("number {i}")));
    let alone = (0..20).map(|i| (format!("alone-{i}.txt"), format!("Number {i}!")));
    let names: Vec<(String, String)> = pairs.chain(alone).collect();
    let names: Vec<(&str, Option<&[u8]>)> =
        names.iter().map(|(name, caption)| (&**name, Some(caption.as_bytes()))).collect();
    let root = folder(&names);
    let found = opened(PairName::Pairs, root.path(), &PairOptions::default()).unwrap();
    let plain = |text: &String| text.to_lowercase().replace('!', "");
    let texts: BTreeSet<String> = found.train.texts.iter().map(plain).collect();
    assert_eq!(texts, found.train.captions.iter().cloned().collect::<BTreeSet<_>>());
    let held = found.test.captions.len();
    assert!(held > 0 && found.notes.iter().any(|note| note.contains(&format!(": {held} of the"))));
}

#[test]
fn bad_folders_are_refused_by_name() {
    let error = |root: &tempfile::TempDir| refusal(root.path());
    assert!(error(&folder(&[])).contains("NAME.jpg (.png, .webp) beside NAME.txt"));
    let latin = error(&folder(&[("a.png", Some(b"caf\xe9"))]));
    assert!(latin.contains("a.txt") && latin.contains("byte 3"), "{latin}");
    let one = error(&folder(&[("a.png", Some(b"one"))]));
    assert!(one.contains("holdout"), "{one}");
    let mute = error(&folder(&[("a.png", None), ("b.png", None)]));
    assert!(mute.contains("holdout"), "{mute}");
    let mixed = folder(&[("a.png", Some(b"one"))]);
    fs::write(mixed.path().join("b.tar"), b"").unwrap();
    let mixed = error(&mixed);
    assert!(mixed.contains("holds pictures and tar files; keep one"), "{mixed}");
}

#[test]
fn stamps_stand_on_white_squares_and_have_their_first_line() {
    let names: Vec<(String, Vec<u8>)> = (0..20)
        .map(|i| (format!("animals/{i}.png"), format!("A {i}.\nde.utf8=Ein {i}.\n").into_bytes()))
        .chain((0..9).map(|i| (format!("food/x/{i}.png"), format!("Some {i}.").into_bytes())))
        .collect();
    let mut listed: Vec<(&str, Option<&[u8]>)> =
        names.iter().map(|(name, caption)| (&**name, Some(&**caption))).collect();
    listed
        .extend([("animals/3_mirror.png", None), ("animals/drawn.txt", Some(&b"A drawing."[..]))]);
    let root = folder(&listed);
    let found = opened(PairName::TuxpaintStamps, root.path(), &PairOptions::default()).unwrap();
    assert_eq!(found.train.images.len() + found.test.images.len(), 29);
    assert!(
        found.train.captions.contains(&"A 0.".to_owned())
            || found.test.captions.contains(&"A 0.".to_owned())
    );
    assert!(found.train.texts.is_empty() && found.notes.is_empty(), "{:?}", found.notes);
    assert_eq!(found.train.images.classes(), ["animals", "food"]);
    let image = found.train.images.image(0).unwrap();
    assert_eq!((image.height(), image.width()), (4, 4));
    assert_eq!(image.pixels()[..12], [255; 12]);
    assert_eq!(image.pixels()[12..36], [9; 24]);
}

#[test]
fn a_square_stays_as_it_is() {
    let image = Image::new(2, 2, 1, vec![1, 2, 3, 4]);
    assert_eq!(squared(image.clone()), image);
    let tall = squared(Image::new(3, 1, 1, vec![1, 2, 3]));
    assert_eq!(tall.pixels(), [255, 1, 255, 255, 2, 255, 255, 3, 255]);
}
