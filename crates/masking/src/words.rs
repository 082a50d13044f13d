//! Masks over sequences of unequal length (M3AE §3): padding is neither visible nor masked.
//!
//! A text has T places, of which the first few hold words and the rest padding. Only the *eligible*
//! places, those with words, are masked, visible and counted. Samples of one batch then have
//! different numbers of visible words, so a plan has as many slots as the sample with the most.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::MaskError;
use crate::plan::ascending;
use bauta_streams::{Purpose, RandomStream, StreamKey};

/// Which samples of a batch share a mask.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum MaskScope {
    /// Each sample has its own mask, drawn over its eligible places.
    #[default]
    Sample,
    /// All samples share one mask, drawn over all places (M3AE's released code); how many eligible
    /// places of a sample stay visible is then a matter of chance.
    Batch,
}

/// Masks a fraction of the eligible places of a sequence, every choice equally likely.
///
/// ```
/// use bauta_masking::WordMask;
/// use bauta_streams::{Purpose, StreamKey};
///
/// let mut stream = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample: 0 }.stream();
/// let eligible = [true, true, true, true, false, false];
/// let mut mask = [false; 6];
/// WordMask::new(0.75)?.draw(&eligible, &mut stream, &mut mask);
/// assert_eq!(mask.iter().filter(|&&masked| masked).count(), 3);
/// assert!(!mask[4] && !mask[5]);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WordMask {
    ratio: f64,
}

impl WordMask {
    /// Keeps ⌊n · (1 − `ratio`)⌋ of n eligible places visible, in double precision; in a short text
    /// this can be none.
    ///
    /// # Errors
    /// [`MaskError::Ratio`] unless 0 < `ratio` < 1.
    pub fn new(ratio: f64) -> Result<Self, MaskError> {
        if !(ratio > 0.0 && ratio < 1.0) {
            return Err(MaskError::Ratio(ratio));
        }
        Ok(Self { ratio })
    }

    /// Number of visible places among `places` eligible ones.
    pub fn visible_count(self, places: usize) -> usize {
        (places as f64 * (1.0 - self.ratio)) as usize
    }

    /// Overwrites `mask`: `true` is masked; a place that is not eligible never is.
    pub fn draw(self, eligible: &[bool], stream: &mut RandomStream, mask: &mut [bool]) {
        let mut places: Vec<usize> = (0..eligible.len()).filter(|&place| eligible[place]).collect();
        stream.shuffle(&mut places);
        mask.fill(false);
        for &place in &places[self.visible_count(places.len())..] {
            mask[place] = true;
        }
    }
}

/// Which words of each text of a batch are visible and which are masked.
///
/// With B texts of T places, every text has V ≥ 1 slots, as many as the one with the most visible
/// words needs. The visible words of a text stand in its first slots; the remaining slots are
/// empty. `restore` gives the slot of each place, or V for a place without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordPlan {
    tokens: usize,
    slots: usize,
    visible: Vec<i64>,
    filled: Vec<bool>,
    restore: Vec<i64>,
    masked: Vec<bool>,
    eligible: Vec<bool>,
}

impl WordPlan {
    /// Draws the plan of a batch of texts; `eligible` is [B, T], row by row.
    ///
    /// Each sample uses the stream ("word mask", `seed`, `epoch`, its index); with
    /// [`MaskScope::Batch`] all samples use the stream of the first.
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] when `eligible` does not have one row per sample.
    pub fn draw(
        mask: WordMask,
        scope: MaskScope,
        eligible: &[bool],
        seed: u64,
        epoch: u64,
        samples: &[u64],
    ) -> Result<Self, MaskError> {
        let tokens = row_length(eligible, samples.len())?;
        let purpose = Purpose::named("word mask");
        let stream = |sample: u64| StreamKey { seed, purpose, epoch, sample }.stream();
        let mut masks = vec![false; eligible.len()];
        let rows = masks.chunks_exact_mut(tokens.max(1)).zip(eligible.chunks_exact(tokens.max(1)));
        match (scope, samples.first()) {
            (MaskScope::Batch, Some(&first)) => {
                let mut shared = vec![false; tokens];
                mask.draw(&vec![true; tokens], &mut stream(first), &mut shared);
                rows.for_each(|(row, _)| row.copy_from_slice(&shared));
            }
            _ => rows.zip(samples).for_each(|((row, eligible), &sample)| {
                mask.draw(eligible, &mut stream(sample), row);
            }),
        }
        Self::from_masks(&masks, eligible, samples.len())
    }

    /// Builds the plan that M3AE's released code derives from uniform noise \[T\], one for the
    /// whole batch.
    ///
    /// Places are ordered by ascending noise, and the first ⌊T · (1 − ratio)⌋ are visible *in that
    /// order*, padding or not.
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] when the lengths disagree.
    pub fn from_noise(
        mask: WordMask,
        noise: &[f32],
        eligible: &[bool],
        samples: usize,
    ) -> Result<Self, MaskError> {
        let tokens = row_length(eligible, samples)?;
        if noise.len() != tokens {
            return Err(MaskError::NoiseLength { found: noise.len(), samples: 1, tokens });
        }
        let mut order: Vec<usize> = (0..tokens).collect();
        order.sort_unstable_by_key(|&place| ascending(noise[place], place as u32));
        order.truncate(mask.visible_count(tokens));
        Ok(Self::of_orders(&vec![order; samples], eligible, tokens))
    }

    /// Builds a plan from masks [B, T] (`true` is masked) and eligible places [B, T]; visible
    /// places ascend.
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] when they are not `samples` rows of one length.
    pub fn from_masks(
        masks: &[bool],
        eligible: &[bool],
        samples: usize,
    ) -> Result<Self, MaskError> {
        let tokens = row_length(eligible, samples)?;
        if masks.len() != eligible.len() {
            return Err(MaskError::NoiseLength { found: masks.len(), samples, tokens });
        }
        let visible = |sample: usize| -> Vec<usize> {
            let at = |place: usize| sample * tokens + place;
            (0..tokens).filter(|&place| eligible[at(place)] && !masks[at(place)]).collect()
        };
        let orders: Vec<Vec<usize>> = (0..samples).map(visible).collect();
        Ok(Self::of_orders(&orders, eligible, tokens))
    }

    /// The plan that masks nothing, for texts whose eligible places are [B, T].
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] when they are not `samples` rows of one length.
    pub fn whole(eligible: &[bool], samples: usize) -> Result<Self, MaskError> {
        let tokens = row_length(eligible, samples)?;
        Ok(Self::of_orders(&vec![(0..tokens).collect(); samples], eligible, tokens))
    }

    /// Builds the plan from the places in the slots of each sample, in order.
    fn of_orders(orders: &[Vec<usize>], eligible: &[bool], tokens: usize) -> Self {
        let slots = orders.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let samples = orders.len();
        let mut plan = Self {
            tokens,
            slots,
            visible: vec![0; samples * slots],
            filled: vec![false; samples * slots],
            restore: vec![slots as i64; samples * tokens],
            masked: eligible.to_vec(),
            eligible: eligible.to_vec(),
        };
        for (sample, order) in orders.iter().enumerate() {
            for (slot, &place) in order.iter().enumerate() {
                plan.visible[sample * slots + slot] = place as i64;
                plan.filled[sample * slots + slot] = eligible[sample * tokens + place];
                plan.restore[sample * tokens + place] = slot as i64;
                plan.masked[sample * tokens + place] = false;
            }
        }
        plan
    }

    /// Number of texts, B.
    pub fn samples(&self) -> usize {
        self.visible.len() / self.slots
    }

    /// Number of places per text, T.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Number of slots for visible words, V.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The place in each slot, [B, V] row by row; 0 in an empty one.
    pub fn visible(&self) -> &[i64] {
        &self.visible
    }

    /// Whether a slot holds a word: neither empty nor padding, [B, V].
    pub fn filled(&self) -> &[bool] {
        &self.filled
    }

    /// The slot of each place, V for a place without one, [B, T].
    pub fn restore(&self) -> &[i64] {
        &self.restore
    }

    /// Whether a place is masked: eligible and not visible, [B, T].
    pub fn masked(&self) -> &[bool] {
        &self.masked
    }

    /// Whether a place holds a word, [B, T].
    pub fn eligible(&self) -> &[bool] {
        &self.eligible
    }

    /// The masked places of all texts as indices of [B · T] rows, and the weight of each in the
    /// mean over its own text; the weights of a text with masked words sum to 1.
    pub fn hidden(&self) -> (Vec<i64>, Vec<f32>) {
        let (mut rows, mut shares) = (Vec::new(), Vec::new());
        for (sample, masked) in self.masked.chunks_exact(self.tokens.max(1)).enumerate() {
            let count = masked.iter().filter(|&&masked| masked).count();
            let places = (0..self.tokens).filter(|&place| masked[place]);
            rows.extend(places.map(|place| (sample * self.tokens + place) as i64));
            shares.extend(std::iter::repeat_n(1.0 / count.max(1) as f32, count));
        }
        (rows, shares)
    }
}

fn row_length(eligible: &[bool], samples: usize) -> Result<usize, MaskError> {
    if samples == 0 || !eligible.len().is_multiple_of(samples) {
        let tokens = eligible.len().checked_div(samples).unwrap_or(0);
        return Err(MaskError::NoiseLength { found: eligible.len(), samples, tokens });
    }
    Ok(eligible.len() / samples)
}
