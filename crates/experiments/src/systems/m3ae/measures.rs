//! What is learnt: words predicted with an image and without, captions found for images and
//! images for captions, and what the features are worth.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use bauta_data::{Loader, LoaderConfig};
use bauta_eval::{
    EncodedData, EncodedSplit, Metrics, Scores, host_tensor, join_batches, recalls, top1,
};
use bauta_masking::WordPlan;
use bauta_multimodal::{ImageTokens, TextTokens, WordIndices};
use tch::Tensor;

use super::M3ae;
use super::batches::table;
use super::pairs::Pairs;
use crate::run::Run;
use crate::settings::evaluators;

/// Pairs in one forward pass.
const CHUNK: usize = 50;
/// Ranks among which one's own is sought.
const KS: [usize; 3] = [1, 5, 10];

/// Measures the trained system and the same untrained.
pub(super) fn measure(
    trained: &M3ae,
    untrained: &M3ae,
    pairs: &Pairs,
    run: &mut Run<'_>,
) -> Result<Scores> {
    run.measures()?;
    let _no_grad = tch::no_grad_guard();
    let eval = &trained.settings.eval;
    let count = eval.pairs.min(pairs.test.len());
    let pixels = pairs.test_pixels(0..count)?;
    let mut scores = Scores::from(trained.of_words(pairs, &pixels)?);
    scores.eval.extend(trained.of_retrieval(pairs, &pixels)?);
    if eval.baselines {
        let mut found = untrained.of_words(pairs, &pixels)?;
        found.extend(untrained.of_retrieval(pairs, &pixels)?);
        scores.extend_baseline("random_init", found);
    }
    run.explain([
        format!(
            "word_top1_*: word pieces of {count} test captions that are predicted rightly when \
             {} of each are hidden, in {} draws: with the whole image, without an image, and with \
             the next pair's image",
            trained.settings.mask.text_ratio, eval.draws
        ),
        "image_to_text_*, text_to_image_*: fraction of test images whose caption, and of captions \
         whose image, is among the first 1, 5 and 10 by the mean log-probability of the caption's \
         words, all hidden, given the image, less that given nothing"
            .to_owned(),
    ]);
    let features =
        run.probe(&pairs.images, trained.represent(), untrained.represent(), Vec::new())?;
    let labelled = pairs.images.splits.are_labelled();
    scores.extend(named("category", features));
    if labelled && !eval.protocols.is_empty() {
        for (name, system) in [("", trained), ("random_init", untrained)] {
            let found = named("text_category", Scores::from(system.of_texts(pairs)?));
            match name {
                "" => scores.extend(found),
                _ if !eval.baselines => {}
                name => scores.extend_baseline(name, found.eval),
            }
        }
        run.explain(["text_category_*: the same protocols on the class token of whole captions \
                      without images"
            .to_owned()]);
    }
    Ok(scores)
}

/// Puts a word before the metric's own name, behind that of a baseline.
fn named(word: &str, scores: Scores) -> Scores {
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
    /// u8 pixels [N, C, H, W] of some test images, which begin a batch.
    pub(super) fn test_pixels(&self, tests: Range<usize>) -> Result<Tensor> {
        let config = LoaderConfig { batch_size: CHUNK, ..self.images.loader.clone() };
        let loader = Loader::for_evaluation(Arc::clone(&self.images.splits.test), config)?;
        let steps = tests.end.div_ceil(CHUNK) as u64;
        let batches = loader.batches(0..steps, |batch| host_tensor(&batch.pixels));
        let all: Tensor = join_batches(batches.map(|batch| -> Result<Tensor> { Ok(batch?) }))?;
        Ok(all.narrow(0, tests.start as i64, tests.len() as i64))
    }
}

impl M3ae {
    /// Logits of the hidden words, with an image or without, and their ids.
    pub(super) fn hidden_words(
        &self,
        pixels: Option<&Tensor>,
        ids: &Tensor,
        plan: &WordPlan,
    ) -> Result<[Tensor; 2]> {
        let words = WordIndices::new(plan, self.parameters.device());
        let patches =
            pixels.map(|pixels| self.patches(&self.normalization.normalize(pixels))).transpose()?;
        let image = patches.as_ref().map(|patches| ImageTokens { patches, indices: None });
        let latent = self.network.encode(image, Some(TextTokens { ids, words: &words }))?;
        let decoded = self.network.decode(&latent)?;
        let hidden = words.gather_hidden(decoded.text().expect("there is a text"));
        Ok([self.network.words(&hidden), words.hidden_ids(ids)])
    }

    /// How many hidden words are predicted rightly.
    fn of_words(&self, pairs: &Pairs, pixels: &Tensor) -> Result<Metrics> {
        let count = pixels.size()[0] as usize;
        let other = pixels.roll([1], [0]);
        let (mut hits, mut all) = ([0; 3], 0);
        for draw in 0..self.settings.eval.draws as u64 {
            for start in (0..count).step_by(CHUNK) {
                let tests = start..count.min(start + CHUNK);
                let (ids, plan) = pairs.words_of(tests.clone(), draw)?;
                let part = |of: &Tensor| of.narrow(0, start as i64, tests.len() as i64);
                for (hits, pixels) in
                    hits.iter_mut().zip([Some(part(pixels)), None, Some(part(&other))])
                {
                    let [logits, wanted] = self.hidden_words(pixels.as_ref(), &ids, &plan)?;
                    *hits += top1(&logits, &wanted);
                }
                all += plan.hidden().0.len();
            }
        }
        let names = ["word_top1_with_image", "word_top1_without_image", "word_top1_other_image"];
        let share = |hits: i64| hits as f64 / all.max(1) as f64;
        Ok(names.into_iter().zip(hits.map(share)).collect())
    }

    /// How often an image's own caption is found, and a caption's own image.
    fn of_retrieval(&self, pairs: &Pairs, pixels: &Tensor) -> Result<Metrics> {
        let count = pixels.size()[0] as usize;
        let captions: Vec<Vec<i64>> = pairs.test[..count]
            .iter()
            .map(|caption| caption.ids[..caption.used].iter().map(|&id| id.into()).collect())
            .collect();
        let captions: Vec<&[i64]> = captions.iter().map(Vec::as_slice).collect();
        // Pairs of one caption are of one group.
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

    /// What the features of captions without images are worth.
    fn of_texts(&self, pairs: &Pairs) -> Result<Metrics> {
        let splits = &pairs.images.splits;
        let features = |captions: &[bauta_data::text::Encoded]| -> Result<Tensor> {
            join_batches(captions.chunks(CHUNK).map(|captions| {
                let captions: Vec<_> = captions.iter().collect();
                let (ids, eligible) = table(&captions);
                let device = self.parameters.device();
                let plan = WordPlan::whole(&eligible, captions.len())?;
                let words = WordIndices::new(&plan, device);
                let ids = ids.to_device(device);
                let text = TextTokens { ids: &ids, words: &words };
                Ok(self.network.encode(None, Some(text))?.class())
            }))
        };
        let split = |source: &dyn bauta_data::Source, features: Tensor| -> Result<EncodedSplit> {
            let label = |index| i64::from(source.label(index).unwrap_or_default());
            let labels: Vec<i64> = (0..source.len()).map(label).collect();
            Ok(EncodedSplit::new(features, Tensor::from_slice(&labels))?)
        };
        let train = split(&*splits.train, features(pairs.trained())?)?;
        let test = split(&*splits.test, features(&pairs.test)?)?;
        let data = EncodedData::new(train, test, splits.train.classes().len())?;
        let mut found = Metrics::new();
        for evaluator in evaluators(&pairs.images.eval)? {
            found.extend(evaluator.evaluate(&data, pairs.images.loader.seed)?);
        }
        Ok(found)
    }
}
