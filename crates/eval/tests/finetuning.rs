//! Fine-tuning of a small encoder on generated digits: stopped, killed and resumed.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

mod digits;
mod interruption;
mod residual;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_backbones::{
    ImageNormalization, ModelConfig, ModelFolder, Parameters, VisionTransformer, VitConfig,
    VitModelConfig,
};
use bauta_backbones::{Pooling, ResNetFolder, checkpoint::read_tensors};
use bauta_data::{Augment, Crop, DataError, Image, OnError, Source, Statistics};
use bauta_eval::finetune::{FineTuneConfig, FineTuneTask, FineTuned};
use bauta_eval::folder::FeatureModel;
use bauta_eval::{EvalError, TrainingRun, Watch};
use bauta_files::FolderLock;
use bauta_train::{MixConfig, Precision};
use digits::digits;
use interruption::{CopyAt, StopAt, weights};
use residual::residual;
use tch::Device;

/// An untrained encoder.
fn folder() -> FeatureModel {
    let config = VitConfig { channels: 1, ..VitConfig::new(8, 2, 32, 2, 4) };
    let mut parameters = Parameters::new(3, Device::Cpu);
    VisionTransformer::new(parameters.root(), &config).unwrap();
    let tensors: HashMap<_, _> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    ModelFolder::new("model".into(), config, tensors).into()
}

/// Three epochs of ten steps, with every kind of random choice.
fn task(folder: &FeatureModel) -> FineTuneTask<'_> {
    tch::set_num_threads(1);
    let statistics = Statistics::MNIST;
    FineTuneTask {
        folder,
        from_scratch: false,
        config: FineTuneConfig {
            epochs: 3,
            batch_size: 20,
            base_lr: 0.02,
            drop_path: 0.1,
            erasing: 0.1,
            mix: MixConfig { mixup: 0.2, cutmix: 0.2 },
            ..FineTuneConfig::default()
        },
        normalization: ImageNormalization::new(&statistics.mean, &statistics.std, Device::Cpu)
            .unwrap(),
        // A shifted or mirrored bar is another class.
        augment: Augment { crop: Crop::None, flip: false, ..Augment::default() },
        image_size: None,
        on_error: OnError::Stop,
        train: digits(200),
        test: digits(100),
        seed: 5,
        device: Device::Cpu,
        threads: 2,
        precision: Precision::Fp32,
    }
}

fn run(
    folder: &Path,
    resume: bool,
    watch: &dyn Watch,
    change: impl FnOnce(&mut FineTuneTask<'_>),
) -> Result<FineTuned, EvalError> {
    let model = self::folder();
    let mut task = task(&model);
    change(&mut task);
    task.run(TrainingRun { resume, checkpoint_every: 10, ..TrainingRun::new(folder, watch) })
}

#[test]
fn stopped_or_killed_it_ends_with_the_same_bits() {
    let place = tempfile::tempdir().unwrap();
    let [whole, stopped, killed] = ["whole", "stopped", "killed"].map(|n| place.path().join(n));
    // The folder when the first epoch's checkpoint is written is what a kill leaves.
    let copying = CopyAt::first_checkpoint(&whole, &killed);
    let found = run(&whole, false, &copying, |_| {}).unwrap();
    assert_eq!((found.steps, found.train_images, found.test_images), (30, 200, 100));

    let stop = StopAt::step(17);
    let refused = run(&stopped, false, &stop, |_| {}).unwrap_err();
    assert!(matches!(refused, EvalError::TrainingStopped { step: 17 }), "{refused}");
    let on = AtomicBool::new(false);
    for folder in [&stopped, &killed] {
        assert_ne!(weights(folder), weights(&whole));
        let resumed = run(folder, true, &on, |_| {}).unwrap();
        assert_eq!(weights(folder), weights(&whole), "{}", folder.display());
        assert_eq!((&resumed.metrics, resumed.steps), (&found.metrics, 30));
        assert_eq!(resumed.first_loss, found.first_loss);
    }
    // A finished run is measured again, not trained again.
    let counting = StopAt::step(1);
    let again = run(&whole, true, &counting, |_| {}).unwrap();
    assert_eq!(again.metrics, found.metrics);
    assert_eq!(again.seconds, found.seconds);
}

#[test]
fn the_run_folder_holds_a_log_and_a_model_with_a_classifier() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let found = run(place.path(), false, &on, |task| task.config.epochs = 12).unwrap();
    let top1 = found.metrics.get("finetune_top1").unwrap();
    assert!(top1 > 0.5, "{top1} where chance is 0.1");
    assert!(found.metrics.get("finetune_top5").unwrap() >= top1);
    let log = fs::read_to_string(place.path().join("metrics.jsonl")).unwrap();
    assert!(log.lines().count() >= 3 && log.contains("\"finetune\""), "{log}");
    let kept = ModelFolder::read(&place.path().join("checkpoints/last")).unwrap();
    let (parameters, _) = kept.vit(Device::Cpu).unwrap();
    assert_eq!(parameters.get("head.weight").unwrap().tensor.size(), [10, 32]);
    let trained: usize = parameters.iter().map(|p| p.tensor.numel()).sum();
    assert_eq!(trained, found.trained_parameters);
}

#[test]
fn names_say_what_was_trained_on_and_the_baseline_is_the_same_network() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let model = folder();
    let mut task = task(&model);
    task.config = FineTuneConfig { epochs: 1, blocks: Some(1), labels: 0.5, ..task.config.clone() };
    let run = TrainingRun::new(place.path(), &on);
    let scores = task.run_against_scratch(run).unwrap();
    let name = "finetune_last1_50pct_top1";
    let tuned = scores.eval.get(name).unwrap();
    let scratch = scores.baseline.get(&format!("from_scratch.{name}")).unwrap();
    assert!((0.0..=1.0).contains(&tuned) && (0.0..=1.0).contains(&scratch));
    let read =
        |name: &str| ModelFolder::read(&place.path().join(name).join("checkpoints/last")).unwrap();
    let (tuned, scratch) = (read("finetune"), read("from-scratch"));
    let FeatureModel::Transformer(model) = &model else { unreachable!("it is a ViT") };
    for (name, before) in model.tensors() {
        let Some(after) = tuned.tensors().get(name) else { continue };
        assert_eq!(after == before, !name.starts_with("blocks.1."), "{name}");
    }
    let frozen = "blocks.0.attn.qkv.weight";
    assert_ne!(scratch.tensors()[frozen], model.tensors()[frozen], "it starts anew");
}

#[test]
fn what_another_process_trains_keeps_its_settings() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let begin = |epochs: u32| {
        let run = TrainingRun::new(place.path(), &on);
        run.begin(&serde_json::json!({ "epochs": epochs })).map_err(|error| error.to_string())
    };
    begin(1).unwrap();
    let settings = fs::read(place.path().join("settings.json")).unwrap();
    let held = FolderLock::take(place.path()).unwrap();
    let refused = begin(2).unwrap_err();
    assert!(refused.starts_with("another process trains in "), "{refused}");
    assert_eq!(fs::read(place.path().join("settings.json")).unwrap(), settings);
    drop(held);
    begin(2).unwrap();
}

#[test]
fn the_checkpoints_of_another_run_are_not_continued() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let run = TrainingRun { resume: true, ..TrainingRun::new(place.path(), &on) };
    let begin = || run.begin(&serde_json::json!({ "epochs": 1 }));
    // A pre-training has checkpoints and a recipe, but no settings.
    fs::create_dir_all(place.path().join("checkpoints/step-5")).unwrap();
    let refused = begin().unwrap_err().to_string();
    assert!(refused.contains("holds the checkpoints of another run"), "{refused}");
    assert!(!place.path().join("settings.json").exists());
    // An empty folder, such as a link to a larger disk, has nothing to lose.
    fs::remove_dir(place.path().join("checkpoints/step-5")).unwrap();
    begin().unwrap();
    fs::create_dir(place.path().join("checkpoints/step-5")).unwrap();
    begin().unwrap();
}

/// Digits of which one cannot be decoded.
struct Damaged(Arc<dyn Source>);

impl Source for Damaged {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> usize {
        self.0.channels()
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.0.label(index)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        if index == 7 {
            let (image, problem) = (self.describe(index), "cut off".to_owned());
            return Err(DataError::Image { image, problem });
        }
        self.0.image(index)
    }

    fn describe(&self, index: usize) -> String {
        self.0.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
}

#[test]
fn damaged_test_images_are_not_counted_as_measured() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let damaged = |task: &mut FineTuneTask<'_>| {
        task.test = Arc::new(Damaged(digits(100)));
        (task.on_error, task.config.epochs) = (OnError::Skip, 1);
    };
    let found = run(place.path(), false, &on, damaged).unwrap();
    assert_eq!(found.test_images, 99);
    let right = found.metrics.get("finetune_top1").unwrap() * 99.0;
    assert!((right - right.round()).abs() < 1e-9, "{right} of 99");
}

#[test]
fn a_step_takes_all_labelled_images_where_there_are_fewer_than_a_batch() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let few = |task: &mut FineTuneTask<'_>| (task.config.batch_size, task.config.epochs) = (201, 2);
    let tuned = run(place.path(), false, &on, few).unwrap();
    assert_eq!((tuned.steps, tuned.train_images, tuned.batch_size), (2, 200, 200));
    // The checkpoint describes its preprocessing, with the statistics of the task.
    let model = ModelFolder::read(&place.path().join("checkpoints/last")).unwrap();
    let said = model.preprocessing().expect("it is written").statistics(1).unwrap();
    assert_eq!(said.mean[..], Statistics::MNIST.mean[..]);
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let refuse = |change: fn(&mut FineTuneTask<'_>)| {
        run(place.path(), false, &on, change).unwrap_err().to_string()
    };
    let refused = refuse(|task| task.config.blocks = Some(3));
    assert_eq!(refused, "blocks 3 is more than the encoder's 2 blocks");
    assert!(refuse(|task| task.image_size = Some([9, 9])).contains('9'));
}

#[test]
fn a_residual_network_is_fine_tuned_resumed_and_kept_with_its_classifier() {
    let place = tempfile::tempdir().unwrap();
    let on = AtomicBool::new(false);
    let model = residual(&place.path().join("model"), 1);
    let tuning = |folder: &Path, resume, watch: &dyn Watch, blocks| {
        let mut task = task(&model);
        (task.config.drop_path, task.config.blocks, task.config.epochs) = (0.0, blocks, 8);
        task.run(TrainingRun { resume, checkpoint_every: 10, ..TrainingRun::new(folder, watch) })
    };
    let [whole, stopped, last] = ["whole", "stopped", "last"].map(|name| place.path().join(name));
    let found = tuning(&whole, false, &on, None).unwrap();
    assert!(found.metrics.get("finetune_top1").unwrap() > 0.3, "{:?}", found.metrics);
    assert!(found.final_loss < found.first_loss);
    tuning(&stopped, false, &StopAt::step(17), None).unwrap_err();
    tuning(&stopped, true, &on, None).unwrap();
    assert_eq!(weights(&stopped), weights(&whole));

    let kept = ResNetFolder::read(&whole.join("checkpoints/last")).unwrap();
    assert_eq!(kept.classes(), Some(10));
    // If only the last stage is trained, the weights of earlier stages do not change.
    tuning(&last, false, &on, Some(1)).unwrap();
    let read = |folder: &Path| read_tensors(&folder.join("model.safetensors")).unwrap();
    let before = read(&place.path().join("model"));
    let after = read(&last.join("checkpoints/last"));
    for (name, tensor) in before.iter().filter(|(name, _)| name.ends_with("conv1.weight")) {
        assert_eq!(after[name] == *tensor, !name.starts_with("layer4."), "{name}");
    }

    let refuse = |change: fn(&mut FineTuneTask<'_>)| {
        let mut task = task(&model);
        change(&mut task);
        task.run(TrainingRun::new(&place.path().join("refused"), &on)).unwrap_err().to_string()
    };
    assert!(
        refuse(|_| ()).contains("drop_path is 0.1, but a residual network does not support it")
    );
    let class_token = |task: &mut FineTuneTask<'_>| task.config.pooling = Pooling::Cls;
    assert!(refuse(class_token).contains("has no class token"));
    assert!(!place.path().join("refused").exists());
}
