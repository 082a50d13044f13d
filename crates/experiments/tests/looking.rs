//! `embed` on pictures of many sizes, preprocessed as a model folder says.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::read_tensors;
use bauta_backbones::{ModelFolder, Pooling};
use bauta_eval::folder::{Embed, FeatureFormat, said_framing};
use image::{Rgb, RgbImage};
use tch::Device;

/// A model folder with a preprocessor_config.json, and pictures of these heights and widths.
struct Case {
    scratch: tempfile::TempDir,
}

impl Case {
    fn new(preprocessing: &str, pictures: &[(u32, u32)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let model = scratch.path().join("model");
        fs::create_dir_all(&model).unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mae-normalized");
        for file in ["config.json", "model.safetensors"] {
            fs::copy(fixture.join(file), model.join(file)).unwrap();
        }
        if !preprocessing.is_empty() {
            let path = model.join("preprocessor_config.json");
            fs::write(path, preprocessing).unwrap();
        }
        fs::create_dir_all(scratch.path().join("pictures")).unwrap();
        for (place, &(height, width)) in pictures.iter().enumerate() {
            let picture = RgbImage::from_fn(width, height, |x, y| {
                // The same scene at every size: a ramp to the right, another one down.
                let share = |at: u32, side: u32| (255.0 * (at as f64 + 0.5) / side as f64) as u8;
                Rgb([share(x, width), share(y, height), 128])
            });
            let path = scratch.path().join(format!("pictures/{place}.png"));
            picture.save(path).unwrap();
        }
        Self { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn embed(&self, out: &str, format: FeatureFormat) -> Result<[i64; 2], String> {
        let [model, root, out] = ["model", "pictures", out].map(|name| self.path(name));
        let (pooling, device) = (Pooling::Mean, Device::Cpu);
        let embed = Embed { model, root, out, pooling, format, device };
        embed.run().map(|(sizes, _)| sizes).map_err(|error| error.to_string())
    }

    /// Features of picture i.
    fn features(&self) -> Vec<Vec<f32>> {
        self.embed("f.safetensors", FeatureFormat::Safetensors).unwrap();
        let found = read_tensors(&self.path("f.safetensors")).unwrap();
        let rows = found["features"].unbind(0);
        rows.iter().map(|row| Vec::try_from(row).unwrap()).collect()
    }
}

/// Height and width of the fixture's images.
fn size() -> [u32; 2] {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mae-normalized");
    ModelFolder::read(&fixture).unwrap().config().image_size().map(|side| side as u32)
}

const PLAIN: &str =
    r#""do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_scene_is_seen_alike_at_every_size_the_models_own_too() {
    let [height, width] = size();
    let case = Case::new("", &[(height, width), (4 * height, 4 * width), (3 * height, 3 * width)]);
    let found = case.features();
    for other in &found[1..] {
        // Pixels of the enlarged scenes differ by rounding alone; a crop would move the ramps.
        assert!(furthest(&found[0], other) < 0.1, "{}", furthest(&found[0], other));
    }
}

#[test]
fn npy_has_the_same_numbers_and_the_paths_beside_it() {
    let [height, width] = size();
    let case = Case::new("", &[(height, width), (50, 60)]);
    let found = case.features();
    assert_eq!(case.embed("f.npy", FeatureFormat::Npy).unwrap(), [2, found[0].len() as i64]);
    let bytes = fs::read(case.path("f.npy")).unwrap();
    let values: Vec<f32> = bytes[128..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect();
    assert_eq!(values, found.concat());
    let names = fs::read_to_string(case.path("f.npy.txt")).unwrap();
    assert_eq!(names.lines().count(), 2);
    assert!(names.lines().next().unwrap().ends_with("0.png"), "{names}");
}

#[test]
fn what_the_folder_says_of_resizing_is_obeyed() {
    let [height, width] = size();
    let pictures = [(3 * height, 5 * width)];
    let said = |keys: &str| Case::new(&format!("{{{PLAIN}, {keys}}}"), &pictures).features();
    let whole = said(&format!(
        r#""do_resize": true, "size": {{"height": {height}, "width": {width}}}, "resample": 3"#
    ));
    let middle = said(&format!(
        r#""do_resize": true, "size": {{"shortest_edge": {}}}, "resample": 3,
           "do_center_crop": true, "crop_size": {{"height": {height}, "width": {width}}}"#,
        2 * height.max(width)
    ));
    let nearest = said(&format!(
        r#""do_resize": true, "size": {{"height": {height}, "width": {width}}}, "resample": 0"#
    ));
    assert!(furthest(&whole[0], &middle[0]) > 1e-3, "the crop changes what is seen");
    assert!(furthest(&whole[0], &nearest[0]) > 0.0, "the filter changes the pixels");
}

#[test]
fn what_cannot_be_obeyed_is_refused_by_its_sizes() {
    let [height, width] = size();
    let refused = |keys: &str| {
        let case = Case::new(&format!("{{{PLAIN}, {keys}}}"), &[(3 * height, 5 * width)]);
        let refused = case.embed("f.safetensors", FeatureFormat::Safetensors).unwrap_err();
        assert!(!case.path("f.safetensors").exists());
        refused
    };
    let found = refused(&format!(
        r#""do_resize": true, "size": {{"height": {}, "width": {width}}}"#,
        height + 1
    ));
    let gives = format!("gives pictures of {} × {width}", height + 1);
    assert!(found.contains(&gives), "{found}");
    let found = refused(r#""do_resize": false, "size": 3"#);
    assert!(found.contains("0.png") && found.contains("no crop is set"), "{found}");
    let found = refused(&format!(
        r#""do_resize": true, "size": {{"shortest_edge": 1000000}},
           "crop_size": {{"height": {height}, "width": {width}}}"#
    ));
    assert!(found.contains("at most 16 times"), "{found}");
}

#[test]
fn a_framing_keeps_its_field_of_view_at_another_size() {
    let [height, width] = size().map(|side| side as usize);
    let case = Case::new(
        &format!(
            r#"{{{PLAIN}, "do_resize": true, "size": {{"shortest_edge": {}}},
                "crop_size": {{"height": {height}, "width": {width}}}}}"#,
            height + 2
        ),
        &[],
    );
    let folder = ModelFolder::read(&case.path("model")).unwrap();
    let own = said_framing(&folder, [height, width], false).unwrap().unwrap();
    let twice = said_framing(&folder, [2 * height, 2 * width], true).unwrap().unwrap();
    let resized = own.resized([100, 100]);
    assert_eq!(twice.resized([100, 100]), resized.map(|side| 2 * side));
    assert!(said_framing(&folder, [2 * height, 2 * width], false).is_err());
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_pictures_are_read() {
    let [height, width] = size();
    let case = Case::new("", &[(height, width)]);
    // A picture that cannot be decoded would be named if it were read.
    fs::write(case.path("pictures/broken.png"), "no picture").unwrap();
    let refused = case.embed("pictures", FeatureFormat::Safetensors).unwrap_err();
    assert!(refused.contains("it is a folder, not a file"), "{refused}");
    let refused = case.embed("none/f.safetensors", FeatureFormat::Npy).unwrap_err();
    assert!(refused.contains("none/f.safetensors"), "{refused}");
    fs::rename(case.path("pictures/broken.png"), case.path("pictures/a\nb.png")).unwrap();
    let refused = case.embed("f.npy", FeatureFormat::Npy).unwrap_err();
    assert!(refused.contains("a\\nb.png") && refused.contains("has a line break"), "{refused}");
    assert!(!case.path("f.npy").exists() && !case.path("f.npy.txt").exists());
}
