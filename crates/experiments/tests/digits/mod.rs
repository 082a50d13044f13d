//! Generated digits, in MNIST's files, and runs on them.

use std::fs;
use std::path::{Path, PathBuf};

/// Writes ten classes of 8 × 8 pixels: a bright bar whose place is the class, in MNIST's files.
pub fn write_digits(folder: &Path) {
    for (stem, count) in [("train", 400_u32), ("t10k", 100)] {
        let (mut images, mut labels) = (vec![0, 0, 8, 3], vec![0, 0, 8, 1]);
        images.extend([count, 8, 8].iter().flat_map(|side| side.to_be_bytes()));
        labels.extend(count.to_be_bytes());
        for image in 0..count {
            let class = image % 10;
            for place in 0..64 {
                let (row, column) = (place / 8, place % 8);
                let bar = if class < 5 { row == class + 1 } else { column == class - 4 };
                let noise = (image * 31 + place * 17) % 40;
                images.push(if bar { 200 + noise } else { noise } as u8);
            }
            labels.push(class as u8);
        }
        fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// Overrides that shrink any recipe for images to a miniature on these digits.
#[allow(dead_code, reason = "some tests write the digits alone")]
pub const SMALL: [&str; 16] = [
    "data.name=mnist",
    "data.image_size=8",
    "data.augment={ crop = \"none\" }",
    "model.patch_size=2",
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "train.epochs=1",
    "train.batch_size=32",
    "train.warmup_epochs=0.1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "eval.protocols=[\"knn\"]",
    "eval.baselines=false",
    "eval.pictures.count=0",
];

/// The same for recipes with a decoder.
#[allow(dead_code, reason = "some tests write the digits alone")]
pub const DECODER: [&str; 2] = ["decoder.dim=8", "decoder.heads=2"];

/// The same for recipes of two views.
#[allow(dead_code, reason = "some tests write the digits alone")]
pub const VIEWS: [&str; 19] = [
    "data.name=mnist",
    "data.image_size=8",
    "data.augment={ crop = \"shift\", shift = 1, flip = false, colours = {} }",
    "model.width=2",
    "siamese.dim=8",
    "siamese.hidden=8",
    "siamese.queue=64",
    "siamese.splits=2",
    "train.epochs=1",
    "train.batch_size=32",
    "train.warmup_epochs=0.1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "siamese.momentum=0.9",
    "siamese.temperature=0.2",
    "eval.protocols=[\"knn\"]",
    "eval.baselines=false",
    "eval.pictures.count=0",
];

/// Overrides as words of a command line.
#[allow(dead_code, reason = "some tests write the digits alone")]
pub fn words(set: &[&str]) -> Vec<String> {
    set.iter().map(|&text| text.to_owned()).collect()
}

/// A folder with the digits in `data`, and room for runs next to it.
#[allow(dead_code, reason = "some tests write the digits alone")]
pub struct Place(tempfile::TempDir);

#[allow(dead_code, reason = "some tests write the digits alone")]
impl Place {
    /// Writes the digits.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("data")).unwrap();
        write_digits(&place.path("data"));
        place
    }

    /// The path of an entry in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The override that has a teacher of kind `recipe` trained on these digits.
    pub fn teacher_set(&self) -> String {
        let set = SMALL[..13].iter().chain(&DECODER).map(|text| format!("{text:?}"));
        let set = set.collect::<Vec<_>>().join(", ");
        format!("teacher.set=[{set}, \"data.root={}\"]", self.path("data").display())
    }
}
