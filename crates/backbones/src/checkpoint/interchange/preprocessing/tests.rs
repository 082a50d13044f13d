//! Keys of `preprocessor_config.json`, applied or refused.

use tch::{Kind, Tensor};

use super::*;

const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

fn of(keys: Value) -> Preprocessing {
    let Value::Object(keys) = keys else { panic!("an object") };
    Preprocessing { path: FILE.into(), keys }
}

/// The model's input for a pixel of value 120 in each of three channels.
fn seen(keys: Value) -> Vec<f32> {
    let normalization = of(keys).normalization(3, Device::Cpu).unwrap();
    let pixels = Tensor::full([1, 3, 1, 1], 120, (Kind::Uint8, Device::Cpu));
    normalization.normalize(&pixels).flatten(0, -1).try_into().unwrap()
}

fn refused(keys: Value) -> String {
    of(keys).statistics(3).unwrap_err().to_string()
}

#[test]
fn pixels_are_what_the_steps_make_of_them() {
    let unit = [120.0 / 255.0; 3];
    let wanted = |factor: f64| [0, 1, 2].map(|c| ((120.0 * factor - MEAN[c]) / STD[c]) as f32);
    for (keys, wanted) in [
        (json!({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}), unit),
        (json!({"do_normalize": false, "image_mean": MEAN, "image_std": STD}), unit),
        (json!({"do_normalize": false, "image_mean": null, "image_std": null}), unit),
        (json!({"do_normalize": false, "size": 16}), unit),
        (json!({"do_normalize": false, "image_mean": []}), unit),
        (json!({"do_normalize": false, "do_rescale": false}), [120.0; 3]),
        (json!({"do_normalize": true, "image_mean": MEAN, "image_std": STD}), wanted(1.0 / 255.0)),
        (json!({"image_mean": MEAN, "image_std": STD, "rescale_factor": 0.5}), wanted(0.5)),
        (json!({"image_mean": MEAN, "image_std": STD, "do_rescale": false}), wanted(1.0)),
        (
            json!({"image_mean": MEAN, "image_std": STD, "do_rescale": false, "rescale_factor": 7}),
            wanted(1.0),
        ),
        (json!({"image_mean": 0.5, "image_std": 0.5}), [(120.0 / 255.0 - 0.5) / 0.5; 3]),
        (
            json!({"image_processor_type": "ViTImageProcessorFast"}),
            [(120.0 / 255.0 - 0.5) / 0.5; 3],
        ),
    ] {
        let found = seen(keys.clone());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(
                (found - wanted).abs() < 1e-5 * wanted.abs().max(1.0),
                "{keys}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn the_usual_factor_leaves_the_numbers_as_they_are() {
    let keys = json!({"image_mean": MEAN, "image_std": STD, "rescale_factor": 0.00392156862745098});
    let found = of(keys).statistics(3).unwrap();
    assert_eq!(found.mean, MEAN.map(|value| value as f32));
    assert_eq!(found.deviation, STD.map(|value| value as f32));
}

#[test]
fn what_fits_no_picture_is_refused_by_its_key() {
    let with = |key: &str, value: Value| {
        let mut keys = json!({"image_mean": MEAN, "image_std": STD});
        keys[key] = value;
        keys
    };
    for (keys, words) in [
        (
            with("image_mean", json!([])),
            "image_mean has values for 0 channels, but the images have 3",
        ),
        (with("image_mean", json!([0.5])), "image_mean has values for 1 channels"),
        (with("image_std", json!([1, 1, 1, 1])), "image_std has values for 4 channels"),
        (
            with("image_std", json!([1, 0, 1])),
            "image_std has 0, but standard deviations must be above 0",
        ),
        (with("image_std", json!(-1)), "image_std has -1"),
        (with("image_std", json!([1e-300, 1, 1])), "do not give finite numbers"),
        (with("image_mean", json!("big")), "image_mean is \"big\", but must be a list of numbers"),
        (with("image_mean", json!([0, "a", 0])), "must be a list of numbers"),
        (with("rescale_factor", json!(0)), "rescale_factor is 0, but must be above 0"),
        (
            with("rescale_factor", json!("1/255")),
            "rescale_factor is \"1/255\", but must be a number",
        ),
        (with("do_normalize", json!(1)), "do_normalize is 1, but must be true or false"),
        (with("do_flip_channel_order", json!(true)), "do_flip_channel_order is true, a step"),
        (with("do_pad", json!(true)), "do_pad is true"),
        (with("crop_pct", json!(0.875)), "crop_pct is 0.875"),
        (with("image_mean", Value::Null), "image_mean is missing"),
        (json!({}), "image_mean is missing; add it"),
    ] {
        let found = refused(keys);
        assert!(
            found.starts_with("preprocessor_config.json: ") && found.contains(words),
            "{found}"
        );
    }
    for harmless in ["do_pad", "do_flip_channel_order", "do_convert_rgb"] {
        of(with(harmless, json!(false))).statistics(3).unwrap();
    }
    of(with("processor_class", json!({"a": [1]}))).statistics(3).unwrap();
    let grey = of(json!({"image_processor_type": "ViTImageProcessor"})).statistics(1);
    assert!(grey.unwrap_err().to_string().contains("do not fit 1 channels"));
}

#[test]
fn framing_is_read_in_the_forms_of_all_versions() {
    use Filter::{Bicubic, Bilinear, Lanczos};
    let rounding = CropRounding::default();
    let framing = |resize, crop, filter| Some(Framing { resize, crop, rounding, filter });
    for (keys, wanted) in [
        (json!({"image_mean": 0.5}), None),
        (json!({"size": 16}), framing(Resize::To([16, 16]), None, None)),
        (json!({"size": [16, 24]}), framing(Resize::To([16, 24]), None, None)),
        (
            json!({"size": {"height": 16, "width": 24}, "resample": 3}),
            framing(Resize::To([16, 24]), None, Some(Bicubic)),
        ),
        (json!({"size": {"shortest_edge": 9}}), framing(Resize::ShorterSide(9), None, None)),
        (json!({"do_resize": false, "size": 16}), framing(Resize::No, None, None)),
        (json!({"crop_size": 8}), framing(Resize::No, Some([8, 8]), None)),
        (
            json!({"size": 16, "crop_size": {"height": 8, "width": 4}, "do_center_crop": false}),
            framing(Resize::To([16, 16]), None, None),
        ),
        (
            json!({"image_processor_type": "ViTImageProcessor"}),
            framing(Resize::To([224, 224]), None, Some(Bilinear)),
        ),
        (
            json!({"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "resample": 1}),
            framing(Resize::ShorterSide(336), Some([224, 224]), Some(Lanczos)),
        ),
        (
            json!({"image_processor_type": "BeitImageProcessor", "do_center_crop": false}),
            framing(Resize::To([256, 256]), None, Some(Bicubic)),
        ),
    ] {
        assert_eq!(of(keys.clone()).framing().unwrap(), wanted, "{keys}");
    }
}

#[test]
fn means_of_bytes_are_told_from_those_of_rescaled_pixels() {
    assert!(are_of_bytes(&[123.0, 116.0, 103.0], 1.0));
    assert!(!are_of_bytes(&[123.0, 116.0, 103.0], 255.0));
    assert!(!are_of_bytes(&[0.485, 0.456, 0.406], 1.0) && !are_of_bytes(&[0.0; 3], 1.0));
}

#[test]
fn framing_that_cannot_be_is_refused() {
    for (keys, words) in [
        (json!({"size": 0}), "size is 0, but must be"),
        (json!({"size": 16.5}), "size is 16.5"),
        (json!({"size": u64::MAX}), "but must be a number of pixels"),
        (json!({"size": {"shortest_edge": 1e9 as u64}}), "number of pixels from 1 to 1048576"),
        (json!({"size": {"longest_edge": 16}}), "size is {\"longest_edge\":16}"),
        (json!({"size": {"shortest_edge": 9, "longest_edge": 16}}), "a longest_edge of 16"),
        (json!({"size": [1, 2, 3]}), "size is [1,2,3]"),
        (json!({"crop_size": -1}), "crop_size is -1"),
        (json!({"size": 16, "resample": 6}), "resample is 6, but must be one of Pillow's numbers"),
        (json!({"size": 16, "resample": "bicubic"}), "resample is \"bicubic\""),
        (json!({"do_resize": true}), "size is missing"),
        (json!({"crop_size": 8, "crop_rounding": "up"}), "crop_rounding is \"up\", but must be"),
        (json!({"do_center_crop": true, "size": 16}), "crop_size is missing"),
        (json!({"size": "x".repeat(1000)}), "…, but must be"),
    ] {
        let found = of(keys).framing().unwrap_err().to_string();
        assert!(found.contains(words) && found.len() < 300, "{found}");
    }
}

/// A `CLIPProcessor` of transformers 5 writes no file of its images alone.
#[test]
fn the_part_of_a_processor_for_images_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let said = json!({"image_processor_type": "CLIPImageProcessor", "image_std": STD});
    let write = |whole: Value| {
        std::fs::write(folder.path().join("processor_config.json"), whole.to_string()).unwrap();
        Preprocessing::read(folder.path())
    };
    let whole = json!({"image_processor": said, "processor_class": "CLIPProcessor"});
    let read = write(whole.clone()).unwrap().unwrap();
    assert_eq!(read, of(said));
    assert_eq!(read.statistics(3).unwrap().deviation, STD.map(|value| value as f32));
    // Version 4 keeps a processor's own keys there.
    assert_eq!(write(json!({"processor_class": "CLIPProcessor"})).unwrap(), None);
    assert!(write(json!(3)).unwrap_err().to_string().contains("processor_config.json: it holds 3"));
    write(whole).unwrap();
    let own = Preprocessing::new(&[0.5], &[0.5], None);
    own.write(folder.path()).unwrap();
    assert_eq!(Preprocessing::read(folder.path()).unwrap(), Some(own));
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Preprocessing::read(folder.path()).unwrap(), None);
    let framing = |resize, crop, rounding, filter| Some(Framing { resize, crop, rounding, filter });
    for framing in [
        None,
        framing(Resize::To([32, 48]), None, CropRounding::Down, Some(Filter::Box)),
        framing(Resize::ShorterSide(36), Some([32, 32]), CropRounding::Down, None),
        framing(Resize::ShorterSide(36), Some([32; 2]), CropRounding::HalfEven, Some(Filter::Box)),
    ] {
        let written = Preprocessing::new(&[0.1, 0.2], &[0.3, 0.4], framing);
        written.write(folder.path()).unwrap();
        let read = Preprocessing::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, written);
        let statistics = read.statistics(2).unwrap();
        assert_eq!((statistics.mean, statistics.deviation), (vec![0.1, 0.2], vec![0.3, 0.4]));
        let filter = read.framing().unwrap().and_then(|found| found.filter);
        match framing {
            // The processor's default is used where none is given.
            Some(Framing { filter: None, .. }) => assert_eq!(filter, Some(Filter::Bicubic)),
            _ => assert_eq!(read.framing().unwrap(), framing),
        }
    }
    std::fs::write(folder.path().join(FILE), "[1]").unwrap();
    let refused = Preprocessing::read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("it holds [1], not a JSON object"), "{refused}");
}
