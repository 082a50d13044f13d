//! Quality of the features: of captions alone, of pairs, and whether images of unknown classes can
//! be told from those of known ones.

use std::sync::Arc;

use anyhow::Result;
use bauta_data::text::Encoded;
use bauta_data::{Loader, LoaderConfig, Source, Subset};
use bauta_eval::{
    EncodedData, EncodedSplit, Evaluator, LinearProbe, Metrics, Outside, Scores, host_tensor,
    join_batches,
};
use bauta_masking::WordPlan;
use bauta_multimodal::{ImageTokens, TextTokens, WordIndices};
use tch::{Device, Tensor};

use super::M3ae;
use super::batches::table;
use super::measures::{CHUNK, named};
use super::pairs::Pairs;
use crate::run::Run;
use crate::settings::evaluators;

/// The halves of pairs that are encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halves {
    Image,
    Text,
    Both,
}

/// Measures features of the trained system and of the same untrained, if images have classes;
/// `Run::probe` measures those of images alone.
pub(super) fn measure(
    trained: &M3ae,
    untrained: &M3ae,
    pairs: &Pairs,
    run: &mut Run<'_>,
) -> Result<Scores> {
    let (mut scores, eval) = (Scores::default(), &trained.settings.eval);
    let classes = pairs.images.splits.train.classes().len();
    if !pairs.images.splits.are_labelled() || eval.protocols.is_empty() {
        return Ok(scores);
    }
    let protocols = || evaluators(&pairs.images.eval);
    let linear = &eval.linear;
    let outside = Outside {
        probe: LinearProbe {
            epochs: linear.epochs,
            batch_size: linear.batch_size,
            base_lr: linear.base_lr,
            warmup_epochs: linear.warmup_epochs,
            weight_decay: linear.weight_decay,
            ..LinearProbe::default()
        },
    };
    run.explain([
        "text_category_*, pair_category_*: the same protocols on the class token of whole captions \
         without images, and of whole images with their captions"
            .to_owned(),
        format!("category_outside_*: {}", outside.settings()),
    ]);
    let mut measured = vec![
        ("text_category", Halves::Text, protocols()?),
        ("pair_category", Halves::Both, protocols()?),
    ];
    if classes > 2 {
        measured.push(("category", Halves::Image, vec![Box::new(outside)]));
    }
    let stop = run.stop;
    for (word, halves, evaluators) in measured {
        let found = |system: &M3ae| -> Result<Scores> {
            let data = system.encoded(pairs, halves)?;
            let mut found = Metrics::new();
            for evaluator in &evaluators {
                found.extend(evaluator.evaluate_until(&data, pairs.images.loader.seed, stop)?);
            }
            Ok(named(word, Scores::from(found)))
        };
        scores.extend(found(trained)?);
        if eval.baselines {
            scores.extend_baseline("random_init", found(untrained)?.eval);
        }
    }
    Ok(scores)
}

impl M3ae {
    /// Features of both splits with their labels; of at most `eval.limit` training pairs.
    fn encoded(&self, pairs: &Pairs, halves: Halves) -> Result<EncodedData> {
        let splits = &pairs.images.splits;
        let all = Arc::clone(&splits.train);
        let kept = Subset::spread(all, self.settings.eval.limit.unwrap_or(usize::MAX));
        let captions: Vec<&Encoded> =
            kept.indices().iter().map(|&index| &pairs.trained()[index]).collect();
        let kept: Arc<dyn Source> = Arc::new(kept);
        let split = |source: &Arc<dyn Source>, captions: &[&Encoded]| -> Result<EncodedSplit> {
            let steps = 0..source.len().div_ceil(CHUNK) as u64;
            let (features, labels) = match halves {
                Halves::Text => {
                    let chunks = captions.chunks(CHUNK);
                    let features = chunks.map(|captions| self.features(None, captions, halves));
                    (join_batches(features)?, (0..source.len()).collect())
                }
                Halves::Image | Halves::Both => {
                    let config = LoaderConfig { batch_size: CHUNK, ..pairs.images.loader.clone() };
                    let loader = Loader::for_evaluation(Arc::clone(source), config)?;
                    let mut numbers = Vec::new();
                    let batches = loader.batches(steps, |batch| {
                        (host_tensor(&batch.pixels), batch.indices.clone())
                    });
                    let features = batches.map(|batch| -> Result<Tensor> {
                        let (pixels, indices) = batch?;
                        let rows = indices.iter().map(|&index| index as usize);
                        let captions: Vec<&Encoded> =
                            rows.clone().map(|index| captions[index]).collect();
                        numbers.extend(rows);
                        self.features(Some(&pixels), &captions, halves)
                    });
                    (join_batches(features)?, numbers)
                }
            };
            let label = |index: usize| i64::from(source.label(index).unwrap_or_default());
            let labels: Vec<i64> = labels.into_iter().map(label).collect();
            Ok(EncodedSplit::new(features, Tensor::from_slice(&labels))?)
        };
        let train = split(&kept, &captions)?;
        let test = split(&splits.test, &pairs.test.iter().collect::<Vec<_>>())?;
        Ok(EncodedData::new(train, test, splits.train.classes().len())?)
    }

    /// Features [B, D] of whole pairs or halves of them, on the CPU.
    fn features(
        &self,
        pixels: Option<&Tensor>,
        captions: &[&Encoded],
        halves: Halves,
    ) -> Result<Tensor> {
        let device = self.parameters.device();
        let pixels = pixels.map(|pixels| pixels.to_device(device));
        if let (Halves::Image, Some(pixels)) = (halves, &pixels) {
            return Ok((self.represent())(pixels)?.to_device(Device::Cpu));
        }
        let (ids, eligible) = table(captions);
        let words = WordIndices::new(&WordPlan::whole(&eligible, captions.len())?, device);
        let ids = ids.to_device(device);
        let text = TextTokens { ids: &ids, words: &words };
        let patches = pixels.map(|pixels| self.patches(&self.normalization.normalize(&pixels)));
        let patches = patches.transpose()?;
        let image = patches.as_ref().map(|patches| ImageTokens { patches, indices: None });
        Ok(self.network.encode(image, Some(text))?.class().to_device(Device::Cpu))
    }
}
