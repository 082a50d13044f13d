//! The commands that measure and fine-tune a video model's folder, MAE-ST's or another's, without
//! the recipe that trained it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::ClipFolder;
use bauta_data::video::{ClipDataset, ClipSource, Ffmpeg, Views, open_clips};
use bauta_eval::finetune::{ClipFineTuneTask, FineTuneReport, balanced};
use bauta_eval::folder::{ClipFolderEvaluation, EvaluationReport};
use bauta_recipe::{
    ClipEvaluateSettings, ClipFineTuneSettings, LabelledClips, Protocol, ViewCounts,
};
use serde_json::json;

use super::clips::{folders, spread};
use crate::run::{Console, choose_device, choose_threads};
use crate::settings::{choose_precision, evaluators, finetune_config, precision};
use crate::stopped::stopped;
use crate::{evaluate, finetune};

/// Measures the features of a model folder on labelled videos.
///
/// # Errors
/// When the folder, the videos or a setting does not suit a protocol.
pub fn evaluate(
    arguments: &evaluate::Arguments,
    data: ClipDataset,
    stop: &AtomicBool,
) -> Result<EvaluationReport> {
    let evaluate::Arguments { model, root, limit, limit_test, seed, .. } = arguments;
    ensure!(
        arguments.features.is_none() && arguments.image_size.is_none(),
        "--features and --image-size apply to images only: clips are measured by the mean over \
         time and space, at the model's own size"
    );
    let mut settings = ClipEvaluateSettings::parse(&arguments.set)?;
    evaluate::warn_of_unread(&arguments.set);
    if !arguments.protocol.is_empty() {
        settings.eval.protocols = Protocol::each_once(&arguments.protocol);
    }
    settings.data.holdout = arguments.holdout.or(settings.data.holdout);
    let (videos, eval) = (&settings.data, &settings.eval);
    let folder = read(model)?;
    let root = root.as_deref().or(videos.root.as_deref());
    let [train, test] = open(data, root, videos)?;
    let (train, test) = (spread(train, limit.or(eval.limit)), spread(test, *limit_test));
    let evaluation = ClipFolderEvaluation {
        folder: &folder,
        model,
        data: data.into(),
        label: videos.label.as_ref().map(|name| place(&*train, name)).transpose()?,
        evaluators: evaluators(&eval.as_eval())?,
        sampling: videos.sampling(data, folder.frames()),
        views: views(eval.views),
        on_error: videos.on_error,
        train,
        test,
        baselines: arguments.baselines,
        seed: *seed,
        device: arguments.device.choose()?,
        threads: choose_threads(arguments.threads),
    };
    Ok(evaluation.run(&Console::new(stop))?)
}

/// Fine-tunes a model folder on labelled videos and measures it once.
///
/// # Errors
/// As [`finetune::tune`].
pub fn tune(
    arguments: &finetune::Arguments,
    data: ClipDataset,
    stop: &AtomicBool,
) -> Result<FineTuneReport<ClipFineTuneSettings>> {
    let (model, set) = arguments.given()?;
    let mut settings = ClipFineTuneSettings::parse(&set)?;
    settings.data.root = arguments.root.clone().or(settings.data.root);
    let (videos, eval, seed) = (&settings.data, &settings.eval, settings.seed);
    let folder = read(model)?;
    let kept = arguments.kept(&settings.train);
    kept.check()?;
    let [train, test] = open(data, videos.root.as_deref(), videos)?;
    let label = match &videos.label {
        Some(name) => place(&*train, name)?,
        None => only_set(&*train)?,
    };
    let train = spread(train, videos.limit);
    let (split, [train, test]) = match arguments.validate {
        false => ("test", [train, test]),
        true => {
            let [held_out, rest] = balanced(&train, label, finetune::HELD_OUT, seed)?;
            ("validation", [rest, held_out])
        }
    };
    let device = choose_device(settings.train.device)?;
    let task = ClipFineTuneTask {
        folder: &folder,
        model,
        from_scratch: arguments.scratch_like.is_some(),
        config: finetune_config(&eval.finetune),
        label,
        sampling: videos.sampling(data, folder.frames()),
        augment: eval.augment.clone().unwrap_or_else(|| data.usual_augment()),
        repeats: eval.repeats,
        views: views(eval.views),
        on_error: videos.on_error,
        train,
        test,
        seed,
        device,
        threads: choose_threads(settings.train.threads),
        precision: precision(choose_precision(settings.train.precision, device)),
    };
    let begun = json!({
        "model": model, "from_scratch": task.from_scratch, "data": data, "split": split,
        "settings": settings,
    });
    let figures = kept
        .train(&begun, &Console::new(stop), |run| task.run(run))
        .map_err(|error| stopped(error, kept.folder))?;
    let found = FineTuneReport::of_clips(&task, figures, [data.into(), split], settings.clone());
    kept.keep(&found)?;
    Ok(found)
}

fn read(model: &Path) -> Result<ClipFolder> {
    ensure!(
        ClipFolder::describes(model),
        "{} is not the folder of a video model (mae_st, videomae or bauta-r2plus1d), but the data \
         are videos",
        model.display()
    );
    Ok(ClipFolder::read(model)?)
}

/// Opens both splits of labelled videos.
fn open(
    data: ClipDataset,
    root: Option<&Path>,
    videos: &LabelledClips,
) -> Result<[Arc<dyn ClipSource>; 2]> {
    let cache = bauta_data::cache_root()?;
    let ffmpeg = || Ffmpeg::find(&cache);
    let splits = open_clips(data, &folders(data, root, &cache)?, &ffmpeg, &videos.options())?;
    splits.notes.iter().for_each(|note| tracing::info!("{note}"));
    let test = splits.test.with_context(|| {
        format!(
            "the videos of {data} have no test split; put them into train and val, or hold some \
             out with --set data.holdout=0.2"
        )
    })?;
    Ok([splits.train, test])
}

fn views(ViewCounts { clips, crops }: ViewCounts) -> Views {
    Views { clips, crops }
}

/// The index of a label set.
fn place(videos: &dyn ClipSource, name: &str) -> Result<usize> {
    let found = videos.label_sets().iter().position(|set| set.name == name);
    found.with_context(|| format!("data.label is \"{name}\"; {}", known(videos)))
}

/// The index of the only set of labels that tells classes apart.
fn only_set(videos: &dyn ClipSource) -> Result<usize> {
    let sets = videos.label_sets().iter().enumerate();
    let places: Vec<usize> =
        sets.filter(|(_, set)| set.classes.len() >= 2).map(|(place, _)| place).collect();
    match places[..] {
        [place] => Ok(place),
        [] => bail!("fine-tuning needs labelled videos of two classes or more"),
        _ => bail!("{}; choose one with --set data.label=NAME", known(videos)),
    }
}

fn known(videos: &dyn ClipSource) -> String {
    let names: Vec<&str> = videos.label_sets().iter().map(|set| set.name.as_str()).collect();
    match names[..] {
        [] => "the videos have no labels".to_owned(),
        _ => format!("the videos have the labels {}", names.join(", ")),
    }
}
