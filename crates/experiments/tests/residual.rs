//! Residual networks in every command: torchvision's file and transformers' folders give their
//! features, siamese runs start from given weights, and unsupported uses are refused.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::{ImportOptions, Naming, Pooling, ResNetFolder, export_model, import_model};
use bauta_eval::folder::{Embed, FeatureFormat, Forward, Reconstruct};
use bauta_experiments::run::RunEnd;
use bauta_experiments::start::{RunOptions, run};
use bauta_recipe::Layers;
use bauta_report::{Section, Summary};
use digits::{Place, VIEWS, words};
use image::RgbImage;
use tch::{Device, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn assert_close(what: &str, found: &Tensor, wanted: &Tensor, share: f64) {
    assert_eq!(found.size(), wanted.size(), "{what}");
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    let off = largest(&(found - wanted)) / largest(wanted);
    assert!(off < share, "{what} is off by {off:.1e} of its largest value");
}

/// The pictures that `fixtures/residual_folders.py` has as well.
fn write_pictures(folder: &Path, count: u32, side: u32) {
    fs::create_dir_all(folder).unwrap();
    for picture in 0..count {
        let value = |x: u32, y: u32, channel: u32| {
            let place = (picture * side + y) * side + x;
            let i = place * 3 + channel;
            let below = picture * side + y;
            ((place % side * 3 + below % side * 2 + i * 7 % 31 + channel * 40) % 256) as u8
        };
        let pixels = RgbImage::from_fn(side, side, |x, y| {
            image::Rgb(std::array::from_fn(|channel| value(x, y, channel as u32)))
        });
        pixels.save(folder.join(format!("{picture:03}.png"))).unwrap();
    }
}

/// torchvision's file as a model folder that contains the normalisation of its pictures.
fn torchvisions(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    let file = fixture("torchvision-resnet18/resnet18.pth");
    let said = import_model(&file, ImportOptions::default(), &model).unwrap();
    assert!(said.contains("with a classifier of 3 classes"), "{said}");
    fs::write(
        model.join("preprocessor_config.json"),
        r#"{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#,
    )
    .unwrap();
    model
}

fn embed(model: &Path, root: &Path, out: &Path, pooling: Pooling) -> Result<Tensor, String> {
    let (format, device) = (FeatureFormat::Safetensors, Device::Cpu);
    let [model, root, out] = [model, root, out].map(Path::to_owned);
    let embed = Embed { model, root, out: out.clone(), pooling, format, device };
    let (_, said) = embed.run().map_err(|error| error.to_string())?;
    assert_eq!(said, "mean over places");
    Ok(read_tensors(&out).unwrap().remove("features").unwrap())
}

#[test]
fn a_file_of_torchvision_gives_its_features_and_scores() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let model = torchvisions(scratch.path());
    write_pictures(&path("pictures"), 2, 224);
    let wanted = read_tensors(&fixture("torchvision-resnet18/output.safetensors")).unwrap();
    let found = embed(&model, &path("pictures"), &path("f.safetensors"), Pooling::Mean).unwrap();
    assert_close("features", &found, &wanted["features"], 1e-4);
    let refused = embed(&model, &path("pictures"), &path("g.safetensors"), Pooling::Cls);
    assert!(refused.unwrap_err().contains("has no class token"));

    // Through Hugging Face's naming and back, which is possible with this file's stem.
    export_model(&model, &path("theirs"), Naming::HuggingFace, false).unwrap();
    export_model(&path("theirs"), &path("again"), Naming::Timm, false).unwrap();
    let moments = path("in.safetensors");
    let normalization = ResNetFolder::read(&model).unwrap();
    let normalization = normalization.preprocessing().unwrap();
    let normalization = normalization.normalization(3, Device::Cpu).unwrap();
    let pixels = |name: &str| {
        let image = image::open(path("pictures").join(name)).unwrap().to_rgb8();
        let pixels = Tensor::from_slice(image.as_raw()).view([224, 224, 3]);
        normalization.normalize(&pixels.permute([2, 0, 1]).unsqueeze(0))
    };
    let images = Tensor::cat(&[pixels("000.png"), pixels("001.png")], 0);
    write_tensors(&moments, [("pixel_values", &images)]).unwrap();
    for folder in [model, path("theirs"), path("again")] {
        let out = path("out.safetensors");
        Forward::new(&folder, &moments, &out).run().unwrap();
        let found = read_tensors(&out).unwrap();
        assert_close("logits", &found["logits"], &wanted["logits"], 1e-4);
        let pooled = found["pooler_output"].flatten(1, -1);
        assert_close("pooled", &pooled, &wanted["features"], 1e-4);
    }
}

#[test]
fn transformers_folders_give_what_they_give_under_any_names() {
    let scratch = tempfile::tempdir().unwrap();
    for case in ["resnet-bottleneck", "resnet-classifier"] {
        let [ours, theirs] = ["ours", "theirs"].map(|n| scratch.path().join(format!("{case}-{n}")));
        export_model(&fixture(case), &ours, Naming::Timm, false).unwrap();
        export_model(&ours, &theirs, Naming::HuggingFace, false).unwrap();
        let wanted = read_tensors(&fixture(case).join("output.safetensors")).unwrap();
        for folder in [fixture(case), ours, theirs] {
            let out = scratch.path().join("out.safetensors");
            Forward::new(&folder, &fixture(case).join("input.safetensors"), &out).run().unwrap();
            let found = read_tensors(&out).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (name, wanted) in &wanted {
                assert_close(name, &found[name], wanted, 1e-5);
            }
        }
    }
}

#[test]
fn what_only_transformers_can_do_is_refused_in_words() {
    let scratch = tempfile::tempdir().unwrap();
    let model = torchvisions(scratch.path());
    write_pictures(&scratch.path().join("pictures"), 1, 32);
    let out = scratch.path().join("out");
    let reconstruct = Reconstruct {
        model: model.clone(),
        root: scratch.path().join("pictures"),
        out: out.clone(),
        ratio: None,
        seed: 0,
        count: 1,
        device: Device::Cpu,
    };
    let refused = reconstruct.run(&|| unreachable!("it is no video")).unwrap_err().to_string();
    assert!(refused.contains("holds a residual network, which has no decoder"), "{refused}");
    assert!(!out.exists());
    let place = Place::new();
    let refused = train("mae-cifar10", &place, "refused", false, &[&init(&model)]).unwrap_err();
    assert!(refused.contains("it holds a residual network"), "{refused}");
    assert!(!place.path("refused").exists());
}

/// Trains a recipe on the digits, in miniature.
fn train(
    recipe: &str,
    place: &Place,
    out: &str,
    resume: bool,
    more: &[&str],
) -> Result<Summary, String> {
    let file = format!("{}/recipes/{recipe}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut set = if recipe == "mae-cifar10" { words(&digits::SMALL) } else { words(&VIEWS) };
    set.push(format!("data.root={}", place.path("data").display()));
    set.extend(words(more));
    let layers = Layers { quick: false, set };
    let options = RunOptions { recipe: PathBuf::from(file), layers, out: place.path(out), resume };
    match run(&options, &AtomicBool::new(false)) {
        Ok(RunEnd::Finished(summary)) => Ok(*summary),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn init(folder: &Path) -> String {
    format!("model.init={}", folder.display())
}

#[test]
fn a_siamese_run_begins_with_given_weights() {
    let place = Place::new();
    train("mixmask-cifar10", &place, "first", false, &[]).unwrap();
    let last = place.path("first/checkpoints/last");
    // The same network: all weights are loaded, and training at almost no learning rate keeps them.
    let kept = ["train.base_lr=1e-30", "train.weight_decay=0", "siamese.momentum=0"];
    let set: Vec<&str> = kept.into_iter().collect();
    let from_first = init(&last);
    let set: Vec<&str> = set.into_iter().chain([from_first.as_str()]).collect();
    train("mixmask-cifar10", &place, "second", false, &set).unwrap();
    let read = |run: &str| {
        read_tensors(&place.path(run).join("checkpoints/last/model.safetensors")).unwrap()
    };
    let (first, second) = (read("first"), read("second"));
    for name in ["conv1.weight", "layer3.0.conv2.weight", "fc.2.weight"] {
        assert_close(name, &second[name], &first[name], 1e-6);
    }
    let state = read_tensors(&place.path("second/checkpoints/last/state.safetensors")).unwrap();
    let follows = state.iter().find(|(name, _)| name.ends_with("encoder_k.conv1.weight"));
    assert_close("the momentum encoder", follows.unwrap().1, &first["conv1.weight"], 1e-6);
    let sections = Section::read_all(&place.path("second")).unwrap();
    let told = sections.iter().find(|section| section.title == "Starting weights").unwrap();
    assert_eq!(told.body.len(), 1, "nothing is remarked: {told:?}");

    // Another base loads the encoder and reports what is missing.
    let base = ["siamese.base=byol", from_first.as_str()];
    train("moco-cifar10", &place, "byol", false, &base).unwrap();
    let sections = Section::read_all(&place.path("byol")).unwrap();
    let told = sections.iter().find(|section| section.title == "Starting weights").unwrap();
    assert!(format!("{told:?}").contains("predictor.0.weight"), "{told:?}");

    let wider = ["model.width=4", from_first.as_str()];
    let refused = train("moco-cifar10", &place, "wider", false, &wider).unwrap_err();
    assert!(refused.contains("width 4 against the folder's 2"), "{refused}");
    assert!(!place.path("wider").exists());
}

#[test]
fn a_checkpoint_of_another_base_is_not_gone_on_with() {
    let place = Place::new();
    train("moco-cifar10", &place, "run", false, &[]).unwrap();
    let refused = train("moco-cifar10", &place, "run", true, &["siamese.base=byol"]).unwrap_err();
    assert!(refused.contains("was begun with another recipe"), "{refused}");
}

#[test]
fn images_without_labels_are_trained_on_and_an_odd_rest_is_left_out() {
    let place = Place::new();
    write_pictures(&place.path("flat"), 37, 12);
    let root = format!("data.root={}", place.path("flat").display());
    let set = ["data.name=folder", root.as_str(), "data.image_size=12", "train.batch_size=16"];
    let set: Vec<&str> = set.into_iter().chain(["train.epochs=2"]).collect();
    let summary = train("mixmask-cifar10", &place, "run", false, &set).unwrap();
    assert_eq!((summary.train.steps, summary.train.samples), (4, 64));
    assert!(summary.eval.is_empty(), "{:?}", summary.eval);
    assert!(
        place.path("run/pictures/fills.png").exists() || place.path("run/report.html").exists()
    );
}
