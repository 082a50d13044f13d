//! The mask of a whole batch, in the three forms used for gathering.
//!
//! MAE §3, "Simple implementation": shuffle, keep the first tokens, encode, append mask tokens,
//! un-shuffle. A plan is that shuffle, computed on the host and passed to the model as an argument.

use rayon::prelude::*;

use crate::{MaskError, MaskStrategy};
use bauta_streams::{Purpose, StreamKey};

/// Which tokens of each sample of a batch are visible and which are masked.
///
/// With B samples of L tokens, V of them visible and M masked (V + M = L), for
/// every sample: `visible` ++ `masked` is a permutation of 0..L, and `restore`
/// is its inverse. `restore[i] < V` exactly where token `i` is visible.
///
/// ```
/// use bauta_masking::MaskPlan;
/// let noise = [0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4];
/// let plan = MaskPlan::from_noise(&noise, 1, 0.75)?;
/// assert_eq!(plan.visible(), [1, 5]);
/// assert_eq!(plan.restore(), [7, 0, 4, 2, 5, 1, 6, 3]);
/// assert_eq!(plan.mask(), [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskPlan {
    samples: usize,
    visible_count: usize,
    masked_count: usize,
    visible: Vec<i64>,
    masked: Vec<i64>,
    restore: Vec<i64>,
}

/// Number of visible tokens, V = ⌊L · (1 − r)⌋ in double precision.
///
/// The reference truncates the product as Python computes it, so 100 tokens at
/// ratio 0.9 keep 9, not 10 (100 · (1 − 0.9) = 9.999999999999998).
///
/// # Errors
/// [`MaskError::Ratio`] unless 0 < `ratio` < 1; [`MaskError::Degenerate`] when
/// nothing stays visible or nothing is masked.
pub fn visible_count(tokens: usize, ratio: f64) -> Result<usize, MaskError> {
    if !(ratio > 0.0 && ratio < 1.0) {
        return Err(MaskError::Ratio(ratio));
    }
    let visible = (tokens as f64 * (1.0 - ratio)) as usize;
    if visible == 0 || visible == tokens {
        return Err(MaskError::Degenerate { ratio, tokens, visible, masked: tokens - visible });
    }
    Ok(visible)
}

impl MaskPlan {
    /// Draws the plan of the samples with these indices, in parallel.
    ///
    /// Each sample uses the stream ([`Purpose::MASK`], `seed`, `epoch`, its
    /// index), so the plan of a sample is the same in any batch and on any
    /// number of threads. Visible and masked indices ascend.
    ///
    /// # Errors
    /// [`MaskError::UnequalCounts`] when the strategy does not mask the same
    /// number in every sample; [`MaskError::Degenerate`] when it masks none or all.
    pub fn draw(
        strategy: &dyn MaskStrategy,
        seed: u64,
        epoch: u64,
        samples: &[u64],
    ) -> Result<Self, MaskError> {
        let tokens = strategy.grid().tokens();
        let draw = |sample: u64, mask: &mut [bool]| {
            let key = StreamKey { seed, purpose: Purpose::MASK, epoch, sample };
            strategy.draw(&mut key.stream(), mask);
        };
        // The first mask gives the number of masked tokens of all, so that each of the others can
        // be written directly to its place.
        let mut first = vec![false; if samples.is_empty() { 0 } else { tokens }];
        samples.first().iter().for_each(|&&sample| draw(sample, &mut first));
        let [visible, expected] = counts(&first, tokens)?;
        let mut plan = Self::zeroed(samples.len(), visible, expected);
        let rows = samples.par_iter().zip(plan.rows_mut()).enumerate().with_min_len(32);
        let scratch = || (vec![false; tokens], vec![0; tokens]);
        let unequal = rows.map_init(scratch, |(mask, order), (sample, (&index, mut row))| {
            draw(index, mask);
            let found = masked(mask);
            if found == expected {
                row.write_mask(mask, order);
                return None;
            }
            Some(MaskError::UnequalCounts { sample, found, expected })
        });
        match unequal.find_map_first(|error| error) {
            Some(error) => Err(error),
            None => Ok(plan),
        }
    }

    /// Builds a plan from masks [B, L] (`true` is masked), row by row.
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] when the length of `masks` is not a multiple of `tokens`;
    /// [`MaskError::UnequalCounts`] and [`MaskError::Degenerate`] as [`Self::draw`].
    pub fn from_masks(masks: &[bool], tokens: usize) -> Result<Self, MaskError> {
        if tokens == 0 || !masks.len().is_multiple_of(tokens) {
            let samples = masks.len().checked_div(tokens).unwrap_or(0);
            return Err(MaskError::NoiseLength { found: masks.len(), samples, tokens });
        }
        let samples = masks.len() / tokens;
        let [visible, expected] = counts(masks.get(..tokens).unwrap_or_default(), tokens)?;
        for (sample, row) in masks.chunks_exact(tokens).enumerate() {
            let found = masked(row);
            if found != expected {
                return Err(MaskError::UnequalCounts { sample, found, expected });
            }
        }
        let mut plan = Self::zeroed(samples, visible, expected);
        let rows = masks.par_chunks_exact(tokens).zip(plan.rows_mut()).with_min_len(16);
        rows.for_each_init(
            || vec![0; tokens],
            |order, (mask, mut row)| row.write_mask(mask, order),
        );
        Ok(plan)
    }

    /// Builds the same plan as the reference from uniform noise [B, L].
    ///
    /// Tokens are ordered by ascending noise, ties by index and NaN last, as
    /// `torch.argsort(stable=True)` orders them; the first ⌊L · (1 − `ratio`)⌋
    /// are visible, *in that order*. `restore` is the reference's `ids_restore`.
    ///
    /// # Errors
    /// [`MaskError::NoiseLength`] unless the noise divides into `samples` rows,
    /// and the errors of [`visible_count`].
    pub fn from_noise(noise: &[f32], samples: usize, ratio: f64) -> Result<Self, MaskError> {
        if samples == 0 || !noise.len().is_multiple_of(samples) {
            let tokens = noise.len().checked_div(samples).unwrap_or(0);
            return Err(MaskError::NoiseLength { found: noise.len(), samples, tokens });
        }
        let tokens = noise.len() / samples;
        let visible = visible_count(tokens, ratio)?;
        let mut plan = Self::zeroed(samples, visible, tokens - visible);
        let rows = noise.par_chunks_exact(tokens).zip(plan.rows_mut()).with_min_len(8);
        rows.for_each_init(
            || (Vec::with_capacity(tokens), vec![0; tokens]),
            |(keys, order), (noise, mut row)| {
                keys.clear();
                keys.extend(noise.iter().zip(0..).map(|(&value, i)| ascending(value, i)));
                keys.sort_unstable();
                order.iter_mut().zip(&*keys).for_each(|(token, &key)| *token = key as u32 as i64);
                row.write(order);
            },
        );
        Ok(plan)
    }

    /// Number of samples, B.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Number of tokens per sample, L.
    pub fn tokens(&self) -> usize {
        self.visible_count + self.masked_count
    }

    /// Number of visible tokens per sample, V.
    pub fn visible_count(&self) -> usize {
        self.visible_count
    }

    /// Number of masked tokens per sample, M.
    pub fn masked_count(&self) -> usize {
        self.masked_count
    }

    /// Indices of the visible tokens, [B, V] row by row.
    pub fn visible(&self) -> &[i64] {
        &self.visible
    }

    /// Indices of the masked tokens, [B, M] row by row.
    pub fn masked(&self) -> &[i64] {
        &self.masked
    }

    /// The restore permutation, [B, L] row by row: the position of token `i` in `visible` ++
    /// `masked`.
    pub fn restore(&self) -> &[i64] {
        &self.restore
    }

    /// The mask in image order, [B, L] row by row: 1 is masked, 0 is visible.
    pub fn mask(&self) -> Vec<f32> {
        let visible = self.visible_count as i64;
        self.restore.iter().map(|&place| f32::from(place >= visible)).collect()
    }

    fn zeroed(samples: usize, visible_count: usize, masked_count: usize) -> Self {
        Self {
            samples,
            visible_count,
            masked_count,
            visible: vec![0; samples * visible_count],
            masked: vec![0; samples * masked_count],
            restore: vec![0; samples * (visible_count + masked_count)],
        }
    }

    fn rows_mut(&mut self) -> impl IndexedParallelIterator<Item = RowMut<'_>> {
        let tokens = self.tokens();
        let visible = self.visible.par_chunks_exact_mut(self.visible_count.max(1));
        let masked = self.masked.par_chunks_exact_mut(self.masked_count.max(1));
        let restore = self.restore.par_chunks_exact_mut(tokens.max(1));
        visible.zip(masked).zip(restore).map(|((visible, masked), restore)| RowMut {
            visible,
            masked,
            restore,
        })
    }
}

/// One sample's part of a plan under construction.
struct RowMut<'a> {
    visible: &'a mut [i64],
    masked: &'a mut [i64],
    restore: &'a mut [i64],
}

impl RowMut<'_> {
    /// Writes a mask with as many masked tokens as the row has room for; `order` is scratch space.
    fn write_mask(&mut self, mask: &[bool], order: &mut [i64]) {
        let visible = self.visible.len();
        let mut v = 0;
        for (token, &masked) in mask.iter().enumerate() {
            // A select, not a branch: a random mask defeats prediction.
            let place = if masked { visible + token - v } else { v };
            order[place] = token as i64;
            v += usize::from(!masked);
        }
        self.write(order);
    }

    /// Writes a permutation of the tokens whose first V are the visible ones.
    fn write(&mut self, order: &[i64]) {
        let (visible, masked) = order.split_at(self.visible.len());
        self.visible.copy_from_slice(visible);
        self.masked.copy_from_slice(masked);
        for (place, &token) in (0..).zip(order) {
            self.restore[token as usize] = place;
        }
    }
}

/// Number of masked tokens.
fn masked(mask: &[bool]) -> usize {
    mask.iter().map(|&masked| usize::from(masked)).sum()
}

/// Numbers of visible and masked tokens of a batch's first mask; in an empty batch none are masked.
fn counts(first: &[bool], tokens: usize) -> Result<[usize; 2], MaskError> {
    let masked = masked(first);
    let visible = tokens - masked;
    if !first.is_empty() && (masked == 0 || visible == 0) {
        let ratio = masked as f64 / tokens as f64;
        return Err(MaskError::Degenerate { ratio, tokens, visible, masked });
    }
    Ok([visible, masked])
}

/// A key that sorts like (value, index), with −0 equal to 0 and NaN last.
pub(crate) fn ascending(value: f32, index: u32) -> u64 {
    let bits = if value.is_nan() {
        u32::MAX
    } else {
        // Adding zero turns −0 into 0.
        let bits = (value + 0.0).to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    };
    u64::from(bits) << 32 | u64::from(index)
}
