//! Images of more than three channels and of more than eight bits: from the folder through a run to
//! every command, without changing a value.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::checkpoint::read_tensors;
use bauta_backbones::{ModelFolder, Naming, Pooling, SampleKind, Samples, export_model};
use bauta_data::SampleType;
use bauta_eval::folder::{Embed, FeatureFormat, Reconstruct};
use bauta_experiments::run::RunEnd;
use bauta_experiments::start::{RunOptions, run};
use bauta_experiments::{evaluate, finetune};
use bauta_recipe::Layers;
use bauta_report::Summary;
use clap::Parser;
use digits::{DECODER, SMALL, words};
use image::{ImageBuffer, Luma};
use tch::{Device, Kind, Tensor};

const CHANNELS: usize = 5;
const SIDE: usize = 20;

/// Values of channel c of a picture of a class: far from 0, of tiny variation, and as different
/// in scale as sensors are.
fn value(class: usize, picture: usize, channel: usize, y: usize, x: usize) -> f32 {
    let bright = if class == 0 { x < SIDE / 2 } else { y < SIDE / 2 };
    let noise = ((picture * 31 + y * 17 + x * 7 + channel * 3) % 13) as f32 / 13.0;
    let unit = [1.0, 1e-6, 1e6, 300.0, 0.02][channel];
    unit * (10.0 + f32::from(u8::from(bright)) + 0.2 * noise)
}

fn npy(descr: &str, [channels, height, width]: [usize; 3], values: &[u8]) -> Vec<u8> {
    let header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({channels}, {height}, {width}), }}\n"
    );
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(values);
    file
}

/// Two classes in `train` and `val`, whose files are written by `write`.
fn pictures(root: &Path, write: impl Fn(PathBuf, usize, usize)) {
    for (split, count) in [("train", 12), ("val", 4)] {
        for class in 0..2 {
            let folder = root.join(split).join(["left", "top"][class]);
            fs::create_dir_all(&folder).unwrap();
            for picture in 0..count {
                write(folder.join(format!("{picture:02}")), class, picture);
            }
        }
    }
}

fn floats(root: &Path) {
    pictures(root, |path, class, picture| {
        let at = |i: usize| {
            let (channel, y, x) = (i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE);
            value(class, picture, channel, y, x).to_le_bytes()
        };
        let values: Vec<u8> = (0..CHANNELS * SIDE * SIDE).flat_map(at).collect();
        fs::write(path.with_extension("npy"), npy("<f4", [CHANNELS, SIDE, SIDE], &values)).unwrap();
    });
}

fn train(root: &Path, out: &Path, more: &[&str]) -> Result<Summary, String> {
    train_until(root, out, more, &AtomicBool::new(false))
}

fn train_until(
    root: &Path,
    out: &Path,
    more: &[&str],
    stop: &AtomicBool,
) -> Result<Summary, String> {
    let small = SMALL.iter().filter(|set| !set.starts_with("data.") && !set.contains("batch_size"));
    let mut set: Vec<String> = small.chain(&DECODER).map(|&set| set.to_owned()).collect();
    set.extend(words(&[
        "data.image_size=16",
        "data.shrink=18",
        "train.batch_size=8",
        "train.epochs=3",
        "eval.pictures.count=4",
        "eval.knn.k=3",
        "eval.baselines=true",
    ]));
    set.push(format!("data.root={}", root.display()));
    set.extend(words(more));
    let recipe = format!("{}/recipes/mae-images.toml", env!("CARGO_MANIFEST_DIR")).into();
    let layers = Layers { quick: false, set };
    let options = RunOptions { recipe, layers, out: out.to_owned(), resume: false };
    match run(&options, stop) {
        Ok(RunEnd::Finished(summary)) => Ok(*summary),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn embed(model: &Path, root: &Path, out: &Path) -> Result<Tensor, String> {
    let (pooling, format) = (Pooling::Mean, FeatureFormat::Safetensors);
    let [model, root, out] = [model, root, out].map(Path::to_owned);
    let embed = Embed { model, root, out: out.clone(), pooling, format, device: Device::Cpu };
    embed.run().map_err(|error| error.to_string())?;
    Ok(read_tensors(&out).unwrap().remove("features").unwrap())
}

#[derive(Parser)]
struct Evaluate {
    #[command(flatten)]
    arguments: evaluate::Arguments,
}

#[derive(Parser)]
struct FineTune {
    #[command(flatten)]
    arguments: finetune::Arguments,
}

fn paths<'a>(words: &'a [&'a str], model: &'a Path) -> Vec<&'a std::ffi::OsStr> {
    let words = words.iter().map(|word| word.as_ref());
    words.chain(["--model".as_ref(), model.as_os_str()]).collect()
}

#[test]
fn floats_of_five_channels_keep_their_units_in_every_command() {
    let place = tempfile::tempdir().unwrap();
    let (root, out) = (place.path().join("data"), place.path().join("run"));
    floats(&root);
    for (more, said) in [
        ("data.augment={ randaugment = 5.0 }", ["randaugment", "float32"]),
        ("data.augment={ erasing = 0.5 }", ["erasing", "float32"]),
        ("data.sample_type=\"uint16\"", ["sample_type = uint16", "float32"]),
    ] {
        let refused = train(&root, &out, &[more]).unwrap_err();
        assert!(said.iter().all(|word| refused.contains(word)), "{refused}");
        assert!(!out.exists(), "{more}");
    }
    let stopped = train_until(&root, &out, &[], &AtomicBool::new(true)).unwrap_err();
    assert!(stopped.contains("stopped while the data were opened"), "{stopped}");
    assert!(!out.exists());
    let summary = train(&root, &out, &[]).unwrap();
    assert!(summary.eval["knn_top1"] > 0.8, "{:?}", summary.eval);
    assert!(summary.train.final_loss.unwrap() < 1.5, "{:?}", summary.train);
    for picture in ["reconstructions", "attention", "neighbours"] {
        let picture = image::open(out.join(format!("pictures/{picture}.png"))).unwrap();
        let levels = picture.into_rgb8();
        assert!(levels.pixels().any(|p| p != levels.get_pixel(5, 5)), "it shows something");
    }

    let model = out.join("checkpoints/last");
    let said = ModelFolder::read(&model).unwrap().preprocessing().unwrap().clone();
    let Samples { kind, range } = said.samples().unwrap();
    assert_eq!(kind, SampleKind::Float32);
    assert!(range[0] < 1.1e-5 && (1.1e7..1.2e7).contains(&range[1]), "{range:?}");
    let statistics = said.statistics(CHANNELS).unwrap();
    for (channel, unit) in [1.0, 1e-6, 1e6, 300.0, 0.02].into_iter().enumerate() {
        let [mean, deviation] =
            [&statistics.mean, &statistics.deviation].map(|of| of[channel] / unit);
        assert!((10.4..10.8).contains(&mean), "{channel}: {mean}");
        assert!((0.4..0.6).contains(&deviation), "{channel}: {deviation}");
    }
    let text = fs::read_to_string(model.join("preprocessor_config.json")).unwrap();
    for word in ["\"sample_type\": \"float32\"", "\"num_channels\": 5", "\"do_rescale\": false"] {
        assert!(text.contains(word), "{text}");
    }

    let features = embed(&model, &root.join("val"), &place.path().join("f")).unwrap();
    assert_eq!(features.size()[0], 8);
    let spread = (features.get(0) - features.get(7)).abs().max().double_value(&[]);
    assert!(spread > 1e-3, "images of two classes are told apart: {spread}");
    let drawn = Reconstruct {
        model: model.clone(),
        root: root.join("val"),
        out: place.path().join("drawn"),
        ratio: None,
        seed: 0,
        count: 3,
        device: Device::Cpu,
    };
    drawn.run(&|| unreachable!("no video")).unwrap();
    assert!(place.path().join("drawn/reconstructions.png").is_file());

    let data = root.to_str().unwrap();
    let words = ["evaluate", "--data", "folder", "--root", data, "--protocol", "knn"];
    let words = [&words[..], &["--set", "eval.knn.k=3", "--threads", "1", "--device", "cpu"]];
    let line = Evaluate::parse_from(paths(&words.concat(), &model)).arguments;
    let found = evaluate::evaluate(&line, &AtomicBool::new(false)).unwrap();
    let own = found.values().find(|(of, name, _)| (*of, *name) == ("model", "knn_top1"));
    assert_eq!(own.unwrap().2, summary.eval["knn_top1"], "as the run itself measured it");
    let own = format!("data.root={data}");
    let keyed = words.concat().into_iter().map(|word| match word {
        "--root" => "--set",
        word if word == data => own.as_str(),
        word => word,
    });
    let words: Vec<&str> = keyed.collect();
    let line = Evaluate::parse_from(paths(&words, &model)).arguments;
    let again = evaluate::evaluate(&line, &AtomicBool::new(false)).unwrap();
    assert!(again.values().eq(found.values()), "the folder as a key");
    let words = ["finetune", "--data", "folder", "--root", data, "--set", "train.device=cpu"];
    let more = ["--set", "eval.finetune.epochs=1", "--set", "eval.finetune.warmup_epochs=0"];
    let plain = ["--set", "eval.finetune.randaugment=0", "--set", "eval.finetune.erasing=0"];
    let words = [&words[..], &more, &plain].concat();
    let line = FineTune::parse_from(paths(&words, &model)).arguments;
    finetune::tune(&line, bauta_data::DatasetName::Folder, &AtomicBool::new(false)).unwrap();

    let exported = place.path().join("exported");
    let said = export_model(&model, &exported, Naming::HuggingFace, false).unwrap();
    assert!(said.contains("5 channels and 16 × 16 pixels in patches of 2 × 2"), "{said}");
    let config = fs::read_to_string(exported.join("config.json")).unwrap();
    assert!(config.contains("\"num_channels\": 5"), "{config}");
    // Bits differ on some processors: queries, keys and values are laid out differently in memory.
    let of_exported = embed(&exported, &root.join("val"), &place.path().join("g")).unwrap();
    let off = (of_exported - &features).abs().max().double_value(&[]);
    assert!(off < 1e-5, "the exported model's features are off by {off}");

    // The same values as bytes are other images, and a model of floats refuses them.
    let bytes = place.path().join("bytes");
    pictures(&bytes, |path, _, picture| {
        let values = vec![picture as u8; CHANNELS * SIDE * SIDE];
        fs::write(path.with_extension("npy"), npy("|u1", [CHANNELS, SIDE, SIDE], &values)).unwrap();
    });
    let refused = embed(&model, &bytes, &place.path().join("h")).unwrap_err();
    assert!(refused.contains("float32") && refused.contains("uint8"), "{refused}");
}

#[test]
fn sixteen_bits_keep_all_levels_where_that_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (root, out) = (place.path().join("data"), place.path().join("run"));
    // All of it lies within two of 256 levels.
    let level = |class, picture, y, x| 20_000 + (40.0 * value(class, picture, 0, y, x)) as u16;
    pictures(&root, |path, class, picture| {
        let at = |x: u32, y: u32| Luma([level(class, picture, y as usize, x as usize)]);
        let picture: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(20, 20, at);
        picture.save(path.with_extension("png")).unwrap();
    });
    let wide = ["data.sample_type=\"uint16\"", "data.channels=\"grey\""];
    let summary = train(&root, &out, &wide).unwrap();
    assert!(summary.eval["knn_top1"] > 0.8, "{:?}", summary.eval);
    let model = out.join("checkpoints/last");
    let folder = ModelFolder::read(&model).unwrap();
    assert_eq!(folder.config().channels(), 1);
    let said = folder.preprocessing().unwrap();
    let wanted = Samples { kind: SampleKind::Uint16, range: [0.0, 65_535.0] };
    assert_eq!(said.samples().unwrap(), wanted);
    let mean = said.statistics(1).unwrap().mean[0];
    assert!((20_410.0..20_435.0).contains(&mean), "{mean}");

    // Arrays of the same values are the same images.
    let features = embed(&model, &root, &place.path().join("f")).unwrap();
    let arrays = place.path().join("arrays");
    pictures(&arrays, |path, class, picture| {
        let at = |i: usize| level(class, picture, i / SIDE, i % SIDE).to_be_bytes();
        let values: Vec<u8> = (0..SIDE * SIDE).flat_map(at).collect();
        fs::write(path.with_extension("npy"), npy(">u2", [1, SIDE, SIDE], &values)).unwrap();
    });
    let same = embed(&model, &arrays, &place.path().join("g")).unwrap();
    assert_eq!(same.kind(), Kind::Float);
    assert_eq!(same, features);

    // A picture of eight bits is not one of sixteen.
    let eight: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_pixel(20, 20, Luma([80]));
    eight.save(root.join("val/left/eight.png")).unwrap();
    let refused = embed(&model, &root, &place.path().join("h")).unwrap_err();
    assert!(refused.contains("eight.png") && refused.contains("8 bits"), "{refused}");
    assert_eq!(SampleType::Uint16.range(), Some(wanted.range));
}
