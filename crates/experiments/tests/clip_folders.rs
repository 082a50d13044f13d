//! `evaluate` and `finetune` on folders of video models, transformers and a residual network:
//! Moving MNIST, folders of frames, several views, and clear refusals.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::{
    Parameters, SpacetimeConv, SpacetimeConvConfig, SpacetimeFolder, SpacetimeModelConfig,
    VideoConfig, VideoFolder, VideoModelConfig, VideoTransformer, VitConfig,
};
use bauta_experiments::systems::mae_st::folder;
use bauta_experiments::{evaluate, finetune};
use bauta_recipe::NamedData;
use clap::Parser;
use digits::write_digits;
use tch::Device;

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

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with models of clips of four frames of 8 × 8 pixels, and videos of both kinds.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("digits")).unwrap();
        write_digits(&place.path("digits"));
        write_frames(&place.path("frames"));
        for (name, channels) in [("grey", 1), ("colour", 3)] {
            write_model(&place.path(name), channels);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The words of a command, with HERE/ replaced by the path of the folder.
    fn words(&self, line: &str) -> Vec<String> {
        let here = format!("{}/", self.0.path().display());
        line.split_whitespace().map(|word| word.replace("HERE/", &here)).collect()
    }

    fn evaluate(&self, line: &str) -> anyhow::Result<serde_json::Value> {
        let line = format!("evaluate --threads 1 --device cpu {line}");
        let arguments = Evaluate::parse_from(self.words(&line)).arguments;
        let report = evaluate::evaluate(&arguments, &AtomicBool::new(false))?;
        assert!(report.to_string().contains("videos of the test split"), "{report}");
        Ok(serde_json::to_value(report).unwrap())
    }

    fn finetune(&self, line: &str) -> anyhow::Result<serde_json::Value> {
        let line = format!("finetune --set train.threads=1 --set train.device=cpu {line}");
        let arguments = FineTune::parse_from(self.words(&line)).arguments;
        let NamedData::Videos(data) = arguments.data else { panic!("these are videos") };
        let report = folder::tune(&arguments, data, &AtomicBool::new(false))?;
        assert!(report.to_string().contains("labelled videos"), "{report}");
        Ok(serde_json::to_value(report).unwrap())
    }
}

fn write_model(folder: &Path, channels: usize) {
    let vit = VitConfig { channels, ..VitConfig::new(8, 4, 16, 2, 2) };
    let config = VideoConfig::new(4, 2, vit);
    let mut parameters = Parameters::new(5, Device::Cpu);
    VideoTransformer::new(parameters.root(), &config).unwrap();
    fs::create_dir(folder).unwrap();
    parameters.save(&folder.join("model.safetensors")).unwrap();
    let config = serde_json::to_vec(&VideoModelConfig::new(&config, None)).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
}

/// Writes a (2+1)D residual network of clips of four frames of 8 × 8 pixels, as ELo leaves it.
fn write_network(folder: &Path) {
    let config = SpacetimeConvConfig::tiny(3, 4);
    let mut parameters = Parameters::new(5, Device::Cpu);
    SpacetimeConv::new(parameters.root(), config.clone()).unwrap();
    let config = SpacetimeModelConfig::new(&config, 4, 8);
    SpacetimeFolder::write(folder, &config, &parameters, "").unwrap();
}

/// Videos of six frames of 8 × 12 pixels in two classes: they grow brighter, or darker, so that
/// no frame alone tells which.
fn write_frames(root: &Path) {
    for (split, videos) in [("train", 24_u32), ("val", 8)] {
        for video in 0..videos {
            let rising = video % 2 == 0;
            let class = if rising { "brighter" } else { "darker" };
            let folder = root.join(format!("{split}/{class}/{video:02}"));
            fs::create_dir_all(&folder).unwrap();
            for frame in 0..6_u32 {
                let step = if rising { frame } else { 5 - frame };
                let light = |x: u32, y: u32| (30 + 35 * step + (x * 7 + y * 5 + video) % 9) as u8;
                let picture = image::RgbImage::from_fn(12, 8, |x, y| image::Rgb([light(x, y); 3]));
                picture.save(folder.join(format!("{frame:03}.png"))).unwrap();
            }
        }
    }
}

const FRAMES: &str = "--data frame-folders --model HERE/colour --set data.clip.stride=1";
const DIGITS: &str = "--data moving-mnist --model HERE/grey --set data.moving.digits=1 --set \
                      data.moving.size=8 --set data.moving.digit_size=4 --set \
                      data.moving.frames=6 --set data.moving.videos=96 --set \
                      data.moving.test_videos=40 --set data.moving.walls=wrap --set \
                      data.moving.speeds=[1.0]";
const SHORT: &str = "--set eval.finetune.epochs=1 --set eval.finetune.warmup_epochs=0";

#[test]
fn an_encoder_learns_what_one_frame_does_not_tell_and_is_kept() {
    let place = Place::new();
    let line = format!(
        "{FRAMES} --set data.root=HERE/frames --set eval.finetune.epochs=30 --set \
         eval.finetune.batch_size=8 --set eval.finetune.base_lr=0.1 --set eval.repeats=2 --set \
         eval.finetune.cutmix=0.5 --set eval.finetune.drop_path=0.1 --set \
         eval.augment.flip=true --set eval.views.clips=2 --set eval.views.crops=3 --out HERE/out"
    );
    let found = place.finetune(&line).unwrap();
    assert_eq!(found["metrics"]["finetune_top1"], 1.0, "{found}");
    assert_eq!((&found["train_images"], &found["test_images"]), (&24.into(), &8.into()));
    assert_eq!(found["settings"]["eval"]["views"]["crops"], 3);
    let again = place.finetune(&line).unwrap_err().to_string();
    assert!(again.contains("already holds a result"), "{again}");
    // The result is a model folder, whose encoder is measured and tuned further.
    let last = place.path("out/checkpoints/last");
    let kept = VideoFolder::read(&last).unwrap();
    assert!(kept.tensors().contains_key("head.weight"));
    let line =
        format!("{FRAMES} --model HERE/out/checkpoints/last").replace("--model HERE/colour ", "");
    let further = place.finetune(&format!("{line} --set data.root=HERE/frames {SHORT}"));
    assert!(further.unwrap()["metrics"]["finetune_top1"].is_number());
}

/// Its positions are sines and cosines, which are not trained; the result is a folder of ours.
#[test]
fn hugging_faces_videomae_is_tuned_and_kept_as_a_folder_of_ours() {
    let place = Place::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let videomae = here.join("../backbones/tests/fixtures/videomae");
    let frames = FRAMES.replace("HERE/colour", &videomae.display().to_string());
    let line = format!("{frames} --set data.root=HERE/frames {SHORT} --out HERE/out");
    let found = place.finetune(&line).unwrap();
    let last = place.path("out/checkpoints/last");
    let (before, after) =
        (VideoFolder::read(&videomae).unwrap(), VideoFolder::read(&last).unwrap());
    assert_eq!(after.config().model_type, VideoModelConfig::MODEL_TYPE);
    let same = |name: &str| before.tensors()[name] == after.tensors()[name];
    assert!(!same("blocks.1.attn.proj.weight"));
    let (fixed, _) = before.encoder(Device::Cpu).unwrap();
    assert_eq!(after.tensors()["pos_embed"], fixed.get("pos_embed").unwrap().tensor);
    let trained = found["trained_parameters"].as_u64().unwrap() as usize;
    let head = 2 * 24 + 2;
    assert_eq!(trained + fixed.get("pos_embed").unwrap().tensor.numel(), fixed.count() + head);
    let line = line.replace(&videomae.display().to_string(), "HERE/out/checkpoints/last");
    place.finetune(&line.replace("--out HERE/out", "")).unwrap();
}

#[test]
fn a_residual_network_is_measured_and_tuned_like_a_transformer() {
    let place = Place::new();
    write_network(&place.path("network"));
    let frames = FRAMES.replace("colour", "network");
    let tune = format!("{frames} --root HERE/frames --set eval.finetune.drop_path=0");
    let line = format!(
        "{tune} --set eval.finetune.epochs=30 --set eval.finetune.batch_size=8 --set \
         eval.finetune.base_lr=0.1 --set eval.finetune.layer_decay=0.9 --set eval.views.clips=2 \
         --out HERE/out"
    );
    let found = place.finetune(&line).unwrap();
    assert_eq!(found["metrics"]["finetune_top1"], 1.0, "{found}");
    // The result is a model folder, with the moments of the labelled clips.
    let (before, last) = (place.path("network"), place.path("out/checkpoints/last"));
    let moments = |folder: &Path| {
        let (parameters, _) = SpacetimeFolder::read(folder).unwrap().encoder(Device::Cpu).unwrap();
        parameters.get("layer3.0.conv1.1.running_mean").unwrap().tensor.copy()
    };
    assert_ne!(moments(&before), moments(&last));
    let further = tune.replace("HERE/network", "HERE/out/checkpoints/last");
    let found = place.finetune(&format!("{further} {SHORT} --set eval.finetune.blocks=1")).unwrap();
    let tuned = found["trained_parameters"].as_u64().unwrap();
    // Two convolutions in space and in time, and a shortcut, from 8 to 16 channels, each with its
    // norm except for the last one in time; and the classifier.
    let between = 27 * 8 * 16 / (9 * 8 + 3 * 16);
    let convolutions = [8, 16].map(|inputs| between * (9 * inputs + 3 * 16 + 2) + 2 * 16);
    assert_eq!(tuned, convolutions.iter().sum::<u64>() + 8 * 16 + 2 * 16 + 2 * 16 + 2);
    let scratch = tune.replace("--model", "--scratch-like");
    let found = place.finetune(&format!("{scratch} {SHORT}")).unwrap();
    assert!(found["metrics"]["from_scratch.finetune_top1"].is_number(), "{found}");

    let line = format!("{frames} --root HERE/frames --protocol linear --baselines");
    let found = place.evaluate(&line).unwrap();
    let rows = found["results"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["of"] == "random_init"), "{found}");
    assert_eq!(rows[0]["features"], "mean of the last feature map");
    for (set, words) in [
        ("eval.finetune.drop_path=0.1", "a residual network does not support it"),
        ("eval.finetune.blocks=4", "blocks 4 is more than the encoder's 3 blocks"),
    ] {
        let refused = place.finetune(&format!("{tune} --set {set}")).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_label_is_chosen_of_several_and_parts_are_held_out() {
    let place = Place::new();
    let root = "--set data.root=HERE/digits";
    let several = place.finetune(&format!("{DIGITS} {root} {SHORT}")).unwrap_err().to_string();
    assert!(several.contains("labels digit, direction, speed; choose one"), "{several}");
    let alone = place.finetune(&format!("{DIGITS} {root} {SHORT} --set data.label=speed"));
    let alone = alone.unwrap_err().to_string();
    assert!(alone.contains("two classes or more; the label speed has 1"), "{alone}");
    let label = "--set data.label=digit";
    let found = place.finetune(&format!("{DIGITS} {root} {SHORT} {label} --validate")).unwrap();
    // One video of each of ten digits is held out; more than five classes have a top 5.
    assert_eq!((&found["train_images"], &found["test_images"]), (&86.into(), &10.into()));
    assert_eq!(found["split"], "validation");
    let [one, five] = ["finetune_top1", "finetune_top5"].map(|name| &found["metrics"][name]);
    assert!(one.as_f64() <= five.as_f64() && five.is_number(), "{found}");
    let line = format!("{DIGITS} {root} {SHORT} {label} --labels 0.5")
        .replace("--model", "--scratch-like");
    let scratch = place.finetune(&line).unwrap();
    assert!(scratch["metrics"]["from_scratch.finetune_50pct_top1"].is_number(), "{scratch}");
    assert_eq!(scratch["train_images"], 50);
}

#[test]
fn features_of_each_label_are_measured_with_their_baselines() {
    let place = Place::new();
    let line = format!("{DIGITS} --root HERE/digits --protocol knn --set eval.knn.k=3");
    let found = place.evaluate(&format!("{line} --baselines")).unwrap();
    let of = |who: &str| -> Vec<String> {
        let rows = found["results"].as_array().unwrap().iter().filter(|row| row["of"] == who);
        rows.map(|row| row["metric"].as_str().unwrap().to_owned()).collect()
    };
    for who in ["model", "raw_pixels", "random_init"] {
        let metrics = of(who);
        assert!(metrics.contains(&"digit_knn_top1".to_owned()), "{metrics:?}");
        assert!(metrics.contains(&"direction_knn_top1".to_owned()), "{metrics:?}");
    }
    assert_eq!(found["views"], "1 × 1 views of 4 frames");
    let line = format!("{line} --set data.label=digit --limit 60 --limit-test 20");
    let one = place.evaluate(&format!("{line} --set eval.views.clips=2")).unwrap();
    let rows = one["results"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["metric"].as_str().unwrap().starts_with("digit_")));
    assert_eq!((&one["training_images"], &one["test_images"]), (&60.into(), &20.into()));
}

#[test]
fn what_does_not_go_together_is_refused_in_words() {
    let place = Place::new();
    let frames = format!("{FRAMES} --root HERE/frames");
    for (line, words) in [
        (frames.replace("colour", "grey"), "takes clips of 1 channels, the videos have 3"),
        (frames.replace("colour", "digits"), "not the folder of a video model"),
        (format!("{frames} --features cls"), "--features and --image-size apply to images only"),
        (format!("{frames} --set data.label=speed"), "the videos have the labels class"),
        (frames.replace("--root HERE/frames", ""), "frame-folders reads your own folder"),
        (
            frames.replace("HERE/frames", "HERE/frames/train"),
            "hold some out with --set data.holdout",
        ),
        (frames.replace("HERE/frames", "HERE/frames/train/brighter"), "data.holdout"),
        (format!("{frames} --set data.clip.frames=9"), "unknown key data.clip.frames"),
    ] {
        let refused = place.evaluate(&line).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let unlabelled = frames.replace("HERE/frames", "HERE/frames/train/brighter");
    let held_out = "--set data.holdout=0.3";
    let line = format!("{unlabelled} {held_out}");
    let refused = place.evaluate(&line).unwrap_err().to_string();
    assert!(refused.contains("no labels of two classes or more"), "{refused}");
    let refused = place.finetune(&line).unwrap_err().to_string();
    assert!(refused.contains("labelled videos of two classes"), "{refused}");
}
