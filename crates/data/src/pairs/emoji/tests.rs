//! A small `emoji.json`, whole and broken.

use std::fs;
use std::path::Path;

use super::super::tests::{captions, opened, png};
use super::super::{PairName, PairOptions};

fn write(root: &Path, list: &str) {
    let folder = root.join("img/twitter/64");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..5 {
        fs::write(folder.join(format!("{number}.png")), png()).unwrap();
    }
    fs::write(root.join("emoji.json"), list).unwrap();
}

fn entry(number: usize, name: &str, category: &str, has: bool) -> String {
    format!(
        r#"{{"name": "{name}", "image": "{number}.png", "category": "{category}",
            "has_img_twitter": {has}, "skin_variations": {{"x": {{"image": "y.png"}}}}}}"#
    )
}

#[test]
fn names_are_lower_case_and_classes_are_categories() {
    let root = tempfile::tempdir().unwrap();
    let entries = [
        entry(0, "CROSSED  SWORDS", "Objects", true),
        entry(1, "Norway Flag", "Flags", true),
        entry(2, "SKIN TONE", "Component", true),
        entry(3, "NOWHERE", "Flags", false),
        entry(4, "DOG", "Animals", true),
    ];
    write(root.path(), &format!("[{}]", entries.join(",")));
    let options = PairOptions { holdout: 0.5, ..PairOptions::default() };
    let found = opened(PairName::Emoji, root.path(), &options).unwrap();
    assert_eq!(captions(&found), ["crossed swords", "dog", "norway flag"]);
    assert_eq!(found.train.images.classes(), ["Animals", "Flags", "Objects"]);
    let (images, captions) = (&found.train.images, &found.train.captions);
    let label = match &*captions[0] {
        "dog" => 0,
        "norway flag" => 1,
        _ => 2,
    };
    assert_eq!(images.label(0), Some(label));
    let image = images.image(0).unwrap();
    assert_eq!((image.height(), image.width()), (4, 4));
}

#[test]
fn a_broken_list_is_refused_by_name() {
    for (list, problem) in [
        ("{}", "emoji.json: is not a list of emoji"),
        (r#"[{"name": "A"}]"#, "missing field"),
        (
            &format!("[{}]", entry(0, "A", "Flags", true).replace("0.png", "../0.png")),
            "not a plain image name",
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), list);
        let said = opened(PairName::Emoji, root.path(), &PairOptions::default());
        let said = said.err().unwrap().to_string();
        assert!(said.contains(problem), "{said}");
    }
    let root = tempfile::tempdir().unwrap();
    let said = opened(PairName::Emoji, root.path(), &PairOptions::default());
    assert!(said.err().unwrap().to_string().contains("emoji.json"));
}
