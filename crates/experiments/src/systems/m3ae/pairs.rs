//! The pairs of a run, and batches of them with their masks.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};
use bauta_backbones::TokenIndices;
use bauta_data::pairs::{Captioned, PairSplits, open_pairs};
use bauta_data::text::{Encoded, Ends, WordPieces, bert_vocabulary};
use bauta_data::{Inputs, LoaderConfig, Source, Subset, cache_root, fetched};
use bauta_eval::check_suitable;
use bauta_masking::{MaskPlan, MaskScope, WordMask, WordPlan};
use bauta_recipe::M3ae as Settings;
use tch::Tensor;

use super::batches::{Maker, PairBatch, table};
use crate::images::Images;
use crate::run::{Run, Splits};
use crate::settings::evaluators;

/// The pairs of a run, with images and captions separate.
pub(super) struct Pairs {
    /// The images of both splits.
    pub images: Images,
    /// The vocabulary.
    pub pieces: WordPieces,
    /// The captions of the test images.
    pub test: Vec<Encoded>,
    maker: Maker,
}

impl Pairs {
    /// Opens the pairs and the vocabulary of a recipe.
    ///
    /// # Errors
    /// When one of them is missing or incomplete.
    pub(super) fn open(settings: &Settings, run: &mut Run<'_>) -> Result<Self> {
        let data = &settings.data;
        let root = match (&data.root, data.name.package()) {
            (Some(root), _) => root.clone(),
            (None, Some(package)) => fetched(package, &cache_root()?)?,
            (None, None) => bail!("data.root is missing; give it with --set data.root=DIR"),
        };
        let vocabulary = match &data.vocabulary {
            Some(path) => path.clone(),
            None => fetched(bert_vocabulary(), &cache_root()?)?,
        };
        let pieces = WordPieces::open(&vocabulary)?;
        let PairSplits { train, test, origin, notes } =
            open_pairs(data.name, &root, &cache_root()?.join("pairs"), &data.options())?;
        let encode = |captions: &[String]| -> Result<Vec<Encoded>> {
            let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
            Ok(pieces.encode_all(&captions, data.text_length, Ends::Bare)?)
        };
        let (captions, texts) = (encode(&train.captions)?, encode(&train.texts)?);
        known(&pieces, &captions)?;
        let (mut notes, mut tested) = (notes, encode(&test.captions)?);
        let spoken: Vec<usize> = (0..tested.len()).filter(|&at| tested[at].used > 0).collect();
        if spoken.is_empty() {
            let path = pieces.path().display();
            bail!("no held-out caption has a word piece in {path}; check data.vocabulary");
        }
        if spoken.len() < tested.len() {
            let (lost, path) = (tested.len() - spoken.len(), pieces.path().display());
            notes.push(format!("{lost} held-out captions have no word piece in {path}; left out"));
            tested.retain(|caption| caption.used > 0);
        }
        let test: Arc<dyn Source> = Arc::new(Subset::new(test.images, spoken));
        let cut = captions.iter().chain(&texts).filter(|caption| caption.cut > 0).count();
        if cut > 0 {
            notes.push(format!(
                "{cut} captions are longer than data.text_length {} and are truncated",
                data.text_length
            ));
        }
        let Captioned { images: source, .. } = train;
        if source.len() < run.train.batch_size {
            notes.push(format!(
                "train.batch_size is lowered to the {} images that there are",
                source.len()
            ));
            run.train.batch_size = source.len();
        }
        notes.iter().for_each(|note| tracing::info!("{note}"));
        run.trained_on = format!(
            "{}: {} images, {} captions without image and {} word pieces to train on, {} pairs to \
             measure on, {} × {} pixels",
            data.name,
            source.len(),
            texts.len(),
            captions.iter().chain(&texts).map(|caption| caption.used).sum::<usize>(),
            test.len(),
            data.image_size.height(),
            data.image_size.width()
        );
        let size = data.image_size;
        let loader = LoaderConfig::new(run.train.batch_size, size.height(), size.width());
        let (seed, threads, on_error) = (run.seed, run.threads, data.on_error);
        let loader = LoaderConfig { seed, threads, on_error, share: run.share(), ..loader };
        let splits = Splits { train: source, test, origin, notes };
        let strategy = Arc::from(settings.mask.patches().build(settings.grid()?)?);
        let maker = Maker {
            captions: captions.into(),
            texts: texts.into(),
            strategy,
            words: WordMask::new(settings.mask.text_ratio)?,
            scope: settings.mask.scope,
            dropped: [data.drop_text, data.drop_image],
            seed: run.seed,
            share: run.share(),
            device: run.device,
        };
        let (augment, eval) = (data.augment.clone(), settings.eval.as_eval());
        if splits.are_labelled() {
            check_suitable(&evaluators(&eval)?, &*splits.limited(eval.limit).train)?;
        }
        let images = Images::of(splits, data.shrink, loader, augment, eval, run.device)?;
        let images = Images { epochs: run.train.epochs, ..images };
        Ok(Self { images, test: tested, maker, pieces })
    }

    /// Training batches as inputs of a phase.
    ///
    /// # Errors
    /// When the loader cannot be started.
    pub(super) fn inputs(&self) -> Result<impl FnMut(Range<u64>) -> Inputs<PairBatch> + use<>> {
        let maker = self.maker.clone();
        self.images.inputs(Vec::new(), move |batch| maker.make(&batch))
    }

    /// The captions of the training images.
    pub(super) fn trained(&self) -> &[Encoded] {
        &self.maker.captions
    }

    /// Number of visible patches of an image.
    pub(super) fn visible_patches(&self) -> Result<usize> {
        let plan = MaskPlan::draw(&*self.maker.strategy, self.maker.seed, 0, &[0])?;
        Ok(plan.visible_count())
    }

    /// Numbers of visible and of masked words of a caption of mean length.
    pub(super) fn mean_words(&self) -> [usize; 2] {
        let captions = &self.maker.captions;
        let sum: usize = captions.iter().map(|caption| caption.used).sum();
        let mean = sum.div_ceil(captions.len().max(1));
        let seen = self.maker.words.visible_count(mean);
        [seen, mean - seen]
    }

    /// The plan of the test images with these indices in a draw, keyed by the indices.
    pub(super) fn patches_of(&self, tests: &[usize], draw: u64) -> Result<TokenIndices> {
        let samples: Vec<u64> = tests.iter().map(|&number| number as u64).collect();
        let plan = MaskPlan::draw(&*self.maker.strategy, self.maker.seed, draw, &samples)?;
        Ok(TokenIndices::new(&plan, self.images.device))
    }

    /// The captions of the test pairs with these indices, ids [B, T], with the words that a draw
    /// masks in each.
    pub(super) fn words_of(&self, tests: &[usize], draw: u64) -> Result<(Tensor, WordPlan)> {
        let captions: Vec<&Encoded> = tests.iter().map(|&number| &self.test[number]).collect();
        let samples: Vec<u64> = tests.iter().map(|&number| number as u64).collect();
        let (ids, eligible) = table(&captions);
        let Maker { words, seed, .. } = self.maker;
        let plan = WordPlan::draw(words, MaskScope::Sample, &eligible, seed, draw, &samples)?;
        Ok((ids.to_device(self.images.device), plan))
    }
}

/// Refuses a vocabulary that lacks more than half of the captions' word pieces.
fn known(pieces: &WordPieces, captions: &[Encoded]) -> Result<()> {
    let unknown = ["[UNK]", "<unk>"].into_iter().find_map(|piece| pieces.id(piece));
    let ids = || captions.iter().flat_map(|caption| &caption.ids[..caption.used]);
    let (all, lost) = (ids().count(), ids().filter(|&&id| Some(id) == unknown).count());
    if 2 * lost > all {
        let path = pieces.path().display();
        bail!(
            "{lost} of {all} word pieces of the training captions are unknown to {path}; give a \
             vocabulary of their language with data.vocabulary"
        );
    }
    Ok(())
}
