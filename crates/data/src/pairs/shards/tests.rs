//! Tar files of pairs, whole and broken.

use std::fs;

use super::super::tests::{captions, opened, png, refusal};
use super::super::{PairName, PairOptions, Unpaired};

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(fs::File::create(root.path().join("0.tar")).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap();
    root
}

#[test]
fn captions_are_texts_or_values_of_json() {
    let png = png();
    let root = folder(&[
        ("a.b/0.txt", b"\xef\xbb\xbfa  red\nhouse"),
        ("a.b/0.png", &png),
        ("a.b/0.json", br#"{"caption": "of no matter"}"#),
        ("a.b/1.png", &png),
        ("a.b/1.json", br#"{"url": "x", "caption": "a boat"}"#),
        ("a.b/2.json", br#"{"text": "a dog"}"#),
        ("a.b/2.png", &png),
        ("a.b/3.png", &png),
        ("a.b/4.png", &png),
        ("a.b/4.json", br#"{"caption": null}"#),
        ("a.b/5.txt", b"nobody's"),
        ("a.b/6.seg.json", b"no caption"),
    ]);
    let options = PairOptions { holdout: 0.4, ..PairOptions::default() };
    let found = opened(PairName::Pairs, root.path(), &options).unwrap();
    assert_eq!(captions(&found), ["", "", "a boat", "a dog", "a red house"]);
    assert_eq!(found.train.texts, ["nobody's"]);
    let notes = found.notes.join("\n");
    assert!(
        notes.contains("pictures without a caption: 2 (0.tar:a.b/3.png, 0.tar:a.b/4.png)"),
        "{notes}"
    );
    assert!(notes.contains("captions without a picture: 1"), "{notes}");
    assert!(notes.contains("a.b/5.txt"), "{notes}");
    assert_eq!(found.train.images.image(0).unwrap().width(), 4);
    let skip = PairOptions { unpaired: Unpaired::Skip, ..options };
    let found = opened(PairName::Pairs, root.path(), &skip).unwrap();
    assert_eq!(captions(&found), ["a boat", "a dog", "a red house"]);
    assert!(found.train.texts.is_empty());
}

#[test]
fn classes_are_those_of_the_labels() {
    let png = png();
    let names: Vec<[String; 3]> =
        (0..6).map(|i| [format!("{i}.png"), format!("{i}.txt"), format!("{i}.cls")]).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .flat_map(|[image, text, label]| {
            [(&**image, &png[..]), (&**text, text.as_bytes()), (&**label, &b"1"[..])]
        })
        .collect();
    let root = folder(&files);
    let options = PairOptions { holdout: 0.5, ..PairOptions::default() };
    let found = opened(PairName::Pairs, root.path(), &options).unwrap();
    assert_eq!(found.train.images.label(0), Some(1));
}

#[test]
fn broken_captions_are_refused_by_name() {
    let png = png();
    for (name, bytes, problem) in [
        ("0.txt", &b"caf\xe9"[..], "0.txt: is not UTF-8 from byte 3 on"),
        ("0.json", b"{", "0.json: is not JSON"),
        ("0.json", b"[1]", "is not a JSON object"),
        ("0.json", br#"{"caption": 3}"#, "caption is not text"),
        ("0.json", br#"{"url": "x", "alt": "y"}"#, "it has alt, url"),
        ("0.txt", &vec![b'a'; (1 << 20) + 1], "a caption has at most 1048576"),
    ] {
        let said = refusal(folder(&[("0.png", &png), (name, bytes)]).path());
        assert!(said.contains(problem) && said.contains("0.tar:"), "{said}");
    }
    let none = refusal(folder(&[("0.txt", b"a caption")]).path());
    assert!(none.contains("pictures"), "{none}");
}
