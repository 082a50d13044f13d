//! Measurements: words predicted with an image and without, retrieval of captions for images and of
//! images for captions, and the quality of the features.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use bauta_backbones::TokenIndices;
use bauta_data::{Loader, LoaderConfig};
use bauta_eval::{Metrics, Scores, host_tensor, join_batches, recalls, top1};
use bauta_masking::WordPlan;
use bauta_multimodal::{ImageTokens, TextTokens, WordIndices};
use tch::Tensor;

use super::M3ae;
use super::features;
use super::pairs::Pairs;
use crate::run::Run;

/// Pairs in one forward pass.
pub(super) const CHUNK: usize = 50;
/// Values of k for the recall at k of retrieval.
const KS: [usize; 3] = [1, 5, 10];

/// Measures the trained system and the same system untrained.
pub(super) fn measure(
    trained: &M3ae,
    untrained: &M3ae,
    pairs: &Pairs,
    run: &mut Run<'_>,
) -> Result<Scores> {
    run.measures()?;
    let _no_grad = tch::no_grad_guard();
    let eval = &trained.settings.eval;
    let (pixels, tests) = pairs.test_pixels(eval.pairs)?;
    let count = tests.len();
    let mut scores = Scores::from(trained.of_words(pairs, &pixels, &tests)?);
    scores.eval.extend(trained.of_retrieval(pairs, &pixels, &tests)?);
    if eval.baselines {
        let mut found = untrained.of_words(pairs, &pixels, &tests)?;
        found.extend(untrained.of_retrieval(pairs, &pixels, &tests)?);
        scores.extend_baseline("random_init", found);
    }
    run.explain([
        format!(
            "word_top1_*: word pieces of {count} test captions that are predicted correctly when \
             {} of each are hidden, in {} draws: with the patches of the image that a step sees, \
             without an image, with those of another pair's image, and with the whole image, of \
             which training never sees more than a part",
            trained.settings.mask.text_ratio, eval.draws
        ),
        "image_to_text_*, text_to_image_*: fraction of test images whose caption, and of captions \
         whose image, is among the first 1, 5 and 10 by the mean log-probability of the caption's \
         words, all hidden, given the image, less that given nothing"
            .to_owned(),
    ]);
    let features =
        run.probe(&pairs.images, trained.represent(), untrained.represent(), Vec::new())?;
    scores.extend(named("category", features));
    scores.extend(features::measure(trained, untrained, pairs, run)?);
    Ok(scores)
}

/// Puts a word before the metric's own name, after that of a baseline.
pub(super) fn named(word: &str, scores: Scores) -> Scores {
    let within = |(name, value): (String, f64)| match name.split_once('.') {
        Some((baseline, metric)) => (format!("{baseline}.{word}_{metric}"), value),
        None => (format!("{word}_{name}"), value),
    };
    Scores {
        eval: scores.eval.into_iter().map(within).collect(),
        baseline: scores.baseline.into_iter().map(within).collect(),
    }
}

impl Pairs {
    /// u8 pixels [N, C, H, W] of the first `count` test images, without those that cannot be
    /// decoded, and the indices of their pairs.
    pub(super) fn test_pixels(&self, count: usize) -> Result<(Tensor, Vec<usize>)> {
        let count = count.min(self.test.len());
        let config = LoaderConfig { batch_size: CHUNK, ..self.images.loader.clone() };
        let loader = Loader::for_evaluation(Arc::clone(&self.images.splits.test), config)?;
        let steps = count.div_ceil(CHUNK) as u64;
        let batches =
            loader.batches(0..steps, |batch| (host_tensor(&batch.pixels), batch.indices.clone()));
        let mut tests = Vec::new();
        let all: Tensor = join_batches(batches.map(|batch| -> Result<Tensor> {
            let (pixels, indices) = batch?;
            tests.extend(indices.iter().map(|&index| index as usize));
            Ok(pixels)
        }))?;
        tests.retain(|&number| number < count);
        ensure!(!tests.is_empty(), "none of the first {count} held-out images can be decoded");
        Ok((all.narrow(0, 0, tests.len() as i64), tests))
    }
}

impl M3ae {
    /// Logits of the masked words, with an image or without, and their ids.
    pub(super) fn hidden_words(
        &self,
        pixels: Option<&Tensor>,
        indices: Option<&TokenIndices>,
        ids: &Tensor,
        plan: &WordPlan,
    ) -> Result<[Tensor; 2]> {
        let words = WordIndices::new(plan, self.parameters.device());
        let patches =
            pixels.map(|pixels| self.patches(&self.normalization.normalize(pixels))).transpose()?;
        let image = patches.as_ref().map(|patches| ImageTokens { patches, indices });
        let latent = self.network.encode(image, Some(TextTokens { ids, words: &words }))?;
        let decoded = self.network.decode(&latent)?;
        let hidden = words.gather_hidden(decoded.text().expect("there is a text"));
        Ok([self.network.words(&hidden), words.hidden_ids(ids)])
    }

    /// The accuracy of the predictions of masked words in the test pairs with these indices.
    fn of_words(&self, pairs: &Pairs, pixels: &Tensor, tests: &[usize]) -> Result<Metrics> {
        let other = pixels.roll([1], [0]);
        let (mut hits, mut all) = ([0; 4], 0);
        for draw in 0..self.settings.eval.draws as u64 {
            for (place, tests) in tests.chunks(CHUNK).enumerate() {
                let (ids, plan) = pairs.words_of(tests, draw)?;
                let part = |of: &Tensor| of.narrow(0, (place * CHUNK) as i64, tests.len() as i64);
                let indices = pairs.patches_of(tests, draw)?;
                let given = [
                    (Some(part(pixels)), Some(&indices)),
                    (None, None),
                    (Some(part(&other)), Some(&indices)),
                    (Some(part(pixels)), None),
                ];
                for (hits, (pixels, indices)) in hits.iter_mut().zip(given) {
                    let [logits, wanted] =
                        self.hidden_words(pixels.as_ref(), indices, &ids, &plan)?;
                    *hits += top1(&logits, &wanted);
                }
                all += plan.hidden().0.len();
            }
        }
        let given = ["with_image", "without_image", "other_image", "whole_image"];
        let names = given.map(|given| format!("word_top1_{given}"));
        let share = |hits: i64| hits as f64 / all.max(1) as f64;
        Ok(names.into_iter().zip(hits.map(share)).collect())
    }

    /// How often an image's own caption is found, and a caption's own image.
    fn of_retrieval(&self, pairs: &Pairs, pixels: &Tensor, tests: &[usize]) -> Result<Metrics> {
        let captions: Vec<Vec<i64>> = tests
            .iter()
            .map(|&number| &pairs.test[number])
            .map(|caption| caption.ids[..caption.used].iter().map(|&id| id.into()).collect())
            .collect();
        let captions: Vec<&[i64]> = captions.iter().map(Vec::as_slice).collect();
        // Pairs with the same caption form a group.
        let mut numbers: HashMap<&[i64], usize> = HashMap::new();
        let mut distinct: Vec<&[i64]> = Vec::new();
        let groups: Vec<usize> = captions
            .iter()
            .map(|&caption| {
                *numbers.entry(caption).or_insert_with(|| {
                    distinct.push(caption);
                    distinct.len() - 1
                })
            })
            .collect();
        let columns: Vec<usize> = (0..distinct.len()).collect();
        let patches = self.patches(&self.normalization.normalize(pixels))?;
        let scores = self.network.caption_scores(Some(&patches), &distinct)?;
        let scores = scores - self.network.caption_scores(None, &distinct)?;
        let to_text = recalls(&scores, &groups, &columns, &KS)?;
        let to_image = recalls(&scores.transpose(0, 1), &columns, &groups, &KS)?;
        let named = |name: &'static str, found: Vec<f64>| {
            KS.into_iter().zip(found).map(move |(k, found)| (format!("{name}_recall_{k}"), found))
        };
        Ok(named("image_to_text", to_text).chain(named("text_to_image", to_image)).collect())
    }
}
