//! Batches of pairs with their masks, built on the loader's threads.

use std::sync::Arc;

use bauta_backbones::TokenIndices;
use bauta_data::text::Encoded;
use bauta_data::{Batch, Share};
use bauta_eval::{host_tensor, rows_of};
use bauta_masking::{MaskPlan, MaskScope, MaskStrategy, WordMask, WordPlan};
use bauta_multimodal::WordIndices;
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Tensor};

/// Pairs, images and texts of one step, on the device.
#[derive(Debug)]
pub struct PairBatch {
    /// Samples with the same halves, group by group.
    pub(super) groups: Vec<Group>,
    /// Number of samples that have an image.
    pub(super) images: usize,
    /// Number of all samples.
    pub(super) samples: usize,
}

/// Samples that have an image, a text or both.
#[derive(Debug)]
pub(super) struct Group {
    /// u8 pixels [B, C, H, W], and which patches are masked.
    pub image: Option<(Tensor, TokenIndices)>,
    /// Ids [B, T], and which words are masked.
    pub text: Option<(Tensor, WordIndices)>,
}

impl PairBatch {
    /// Pixels and ids as named tensors.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        let names = [("pixels.0", "ids.0"), ("pixels.1", "ids.1"), ("pixels.2", "ids.2")];
        let of = |(group, (pixels, ids)): (&Group, (&'static str, &'static str))| {
            let image = group.image.as_ref().map(|(tensor, _)| (pixels, tensor.shallow_clone()));
            let text = group.text.as_ref().map(|(tensor, _)| (ids, tensor.shallow_clone()));
            [image, text].into_iter().flatten()
        };
        self.groups.iter().zip(names).flat_map(of).collect()
    }
}

/// Captions as ids [B, T], and which positions hold words.
pub(super) fn table(captions: &[&Encoded]) -> (Tensor, Vec<bool>) {
    let ids: Vec<i64> =
        captions.iter().flat_map(|caption| caption.ids.iter().map(|&id| i64::from(id))).collect();
    let eligible = captions
        .iter()
        .flat_map(|caption| (0..caption.ids.len()).map(|place| place < caption.used))
        .collect();
    (Tensor::from_slice(&ids).view([captions.len() as i64, -1]), eligible)
}

/// Builds batches on the loader's threads, from each sample's own streams.
#[derive(Clone)]
pub(super) struct Maker {
    pub captions: Arc<[Encoded]>,
    pub texts: Arc<[Encoded]>,
    pub strategy: Arc<dyn MaskStrategy>,
    pub words: WordMask,
    pub scope: MaskScope,
    /// Probabilities that a pair loses its text, and its image.
    pub dropped: [f64; 2],
    pub seed: u64,
    /// The part of each batch that this process computes.
    pub share: Share,
    pub device: Device,
}

/// Captions without an image are numbered from here on.
const TEXTS: u64 = 1 << 63;

/// The numbers of the captions without an image that join `images` images of a process's part of a
/// batch: as many, in proportion, as there are in the data.
///
/// They are drawn for the whole batch, so that all processes together have those of a single one.
fn unpaired(
    share: Share,
    images: usize,
    [captions, texts]: [usize; 2],
    stream: &mut RandomStream,
) -> Vec<u64> {
    let count = (images * share.of * texts).div_ceil(captions.max(1));
    let [begin, end] = [share.rank, share.rank + 1].map(|rank| count * rank / share.of);
    let mut drawn: Vec<u64> = (0..end).map(|_| stream.below(texts as u64)).collect();
    drawn.split_off(begin)
}

impl Maker {
    pub(super) fn make(&self, batch: &Batch) -> PairBatch {
        let key = |purpose: &str, sample: u64| {
            let purpose = Purpose::named(purpose);
            StreamKey { seed: self.seed, purpose, epoch: batch.epoch, sample }.stream()
        };
        let (mut pairs, mut images, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &sample) in batch.indices.iter().enumerate() {
            let caption = &self.captions[sample as usize];
            let [text, image] = self.dropped;
            let drawn = key("dropped half", sample).uniform_in(0.0, 1.0);
            if caption.used == 0 || drawn < text {
                images.push(row);
            } else if drawn < text + image {
                texts.push((caption, sample));
            } else {
                pairs.push(row);
            }
        }
        let counts = [self.captions.len(), self.texts.len()];
        let mut stream = key("unpaired text", batch.step);
        let numbers = unpaired(self.share, batch.indices.len(), counts, &mut stream);
        let numbered = |number: u64| (&self.texts[number as usize], TEXTS + number);
        texts.extend(numbers.into_iter().map(numbered));
        let captions = |rows: &[usize]| -> Vec<(&Encoded, u64)> {
            let samples = rows.iter().map(|&row| batch.indices[row]);
            samples.map(|sample| (&self.captions[sample as usize], sample)).collect()
        };
        let samples = pairs.len() + images.len() + texts.len();
        let of_pairs = captions(&pairs);
        let groups = [(&pairs[..], &of_pairs[..]), (&images[..], &[][..]), (&[][..], &texts[..])];
        let groups = groups
            .into_iter()
            .filter(|(rows, texts)| !rows.is_empty() || !texts.is_empty())
            .map(|(rows, texts)| Group {
                image: (!rows.is_empty()).then(|| self.image(batch, rows)),
                text: (!texts.is_empty()).then(|| self.text(batch.epoch, texts)),
            });
        PairBatch { groups: groups.collect(), images: (pairs.len() + images.len()).max(1), samples }
    }

    fn image(&self, batch: &Batch, rows: &[usize]) -> (Tensor, TokenIndices) {
        let samples: Vec<u64> = rows.iter().map(|&row| batch.indices[row]).collect();
        let samples = match self.scope {
            MaskScope::Sample => samples,
            MaskScope::Batch => vec![samples[0]; samples.len()],
        };
        let plan = MaskPlan::draw(&*self.strategy, self.seed, batch.epoch, &samples)
            .expect("recipes name strategies that mask a fixed number of tokens");
        let pixels = rows_of(&host_tensor(&batch.pixels), rows);
        (pixels.to_device(self.device), TokenIndices::new(&plan, self.device))
    }

    fn text(&self, epoch: u64, texts: &[(&Encoded, u64)]) -> (Tensor, WordIndices) {
        let captions: Vec<&Encoded> = texts.iter().map(|(caption, _)| *caption).collect();
        let samples: Vec<u64> = texts.iter().map(|(_, sample)| *sample).collect();
        let (ids, eligible) = table(&captions);
        let plan = WordPlan::draw(self.words, self.scope, &eligible, self.seed, epoch, &samples)
            .expect("captions have one length, and each a number");
        (ids.to_device(self.device), WordIndices::new(&plan, self.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_together_draw_the_captions_of_one() {
        let purpose = Purpose::named("unpaired text");
        let stream = || StreamKey { seed: 3, purpose, epoch: 1, sample: 7 }.stream();
        let drawn =
            |rank: usize, of: usize| unpaired(Share { rank, of }, 12 / of, [9, 50], &mut stream());
        let one = drawn(0, 1);
        let mut stream = stream();
        let wanted: Vec<u64> = (0..67).map(|_| stream.below(50)).collect();
        assert_eq!(one, wanted);
        for of in [2, 3, 4] {
            let parts: Vec<Vec<u64>> = (0..of).map(|rank| drawn(rank, of)).collect();
            assert_eq!(parts.concat(), one);
            assert!(parts.iter().all(|part| part.len().abs_diff(67 / of) <= 1));
            assert_ne!(parts[0], parts[1]);
        }
        assert!(unpaired(Share::WHOLE, 12, [9, 0], &mut stream).is_empty());
    }
}
