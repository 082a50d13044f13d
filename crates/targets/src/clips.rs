//! The pixels of chosen frames of a clip as targets (MAE-ST §3, "Masked autoencoding", and
//! its code): one time slice of each spacetime token, standardised within the token.

use bauta_backbones::{TargetFrames, TokenIndices};
use bauta_masking::Grid;
use tch::{Device, Tensor};

use crate::pixels::{standardised, statistics};
use crate::{FeatureLoss, TargetError};

/// Indices of the frames to predict: `count` of a clip's `frames`, ascending from 0.
///
/// [`TargetFrames::Linspace`] spaces them evenly from the first frame to the last and truncates
/// in integer arithmetic; the reference truncates in single precision.
///
/// # Panics
/// When `count` is 0 or above `frames`.
///
/// ```
/// use bauta_backbones::TargetFrames::{Linspace, Stride};
/// use bauta_targets::target_frames;
/// assert_eq!(target_frames(Linspace, 16, 8), [0, 2, 4, 6, 8, 10, 12, 15]);
/// assert_eq!(target_frames(Linspace, 8, 4), [0, 2, 4, 7]);
/// assert_eq!(target_frames(Stride, 16, 8), [0, 2, 4, 6, 8, 10, 12, 14]);
/// ```
pub fn target_frames(which: TargetFrames, frames: usize, count: usize) -> Vec<usize> {
    assert!((1..=frames).contains(&count), "{count} of {frames} frames cannot be predicted");
    let place = |i: usize| match which {
        TargetFrames::Linspace => i * (frames - 1) / (count - 1).max(1),
        TargetFrames::Stride => i * (frames / count),
    };
    (0..count).map(place).collect()
}

/// Cuts frames [B, C, T'·u, h·p, w·p] into tokens [B, T'·h·w, u·p·p·C], in the order of
/// [`Grid`]; within a token the order is (frame, row, column, channel), channel fastest.
///
/// # Errors
/// [`TargetError::Shape`] unless the frames divide into whole tokens.
pub fn patchify_clip(frames: &Tensor, grid: Grid) -> Result<Tensor, TargetError> {
    let [t, h, w] = [grid.time(), grid.height(), grid.width()].map(|side| side as i64);
    let size = frames.size();
    let &[batch, channels, count, height, width] = size.as_slice() else {
        return Err(TargetError::Shape { found: size, expected: "frames [B, C, T, H, W]".into() });
    };
    let (u, p) = (count / t, height / h);
    if u == 0 || p == 0 || count != u * t || height != h * p || width != w * p {
        let expected = format!("frames of {t} steps of {h} × {w} square patches");
        return Err(TargetError::Shape { found: size, expected });
    }
    Ok(frames
        .reshape([batch, channels, t, u, h, p, w, p])
        .permute([0, 2, 4, 6, 3, 5, 7, 1])
        .reshape([batch, t * h * w, u * p * p * channels]))
}

/// Puts tokens [B, T'·h·w, u·p·p·C] back together as frames [B, C, T'·u, h·p, w·p].
///
/// # Errors
/// [`TargetError::Shape`] unless the tokens are `per_token` frames of square patches on `grid`.
pub fn unpatchify_clip(
    tokens: &Tensor,
    grid: Grid,
    channels: usize,
    per_token: usize,
) -> Result<Tensor, TargetError> {
    let [t, h, w] = [grid.time(), grid.height(), grid.width()].map(|side| side as i64);
    let (c, u) = (channels as i64, per_token as i64);
    let size = tokens.size();
    let side = |values: i64| ((values / (c * u)) as f64).sqrt() as i64;
    match size.as_slice() {
        &[batch, count, values] if count == t * h * w && values == c * u * side(values).pow(2) => {
            let p = side(values);
            Ok(tokens
                .reshape([batch, t, h, w, u, p, p, c])
                .permute([0, 7, 1, 4, 2, 5, 3, 6])
                .reshape([batch, c, t * u, h * p, w * p]))
        }
        _ => {
            let expected = format!("tokens [B, {}, {u}·p·p·{c}]", grid.tokens());
            Err(TargetError::Shape { found: size, expected })
        }
    }
}

/// Mean squared error on the pixels of the chosen frames of masked tokens.
#[derive(Debug)]
pub struct ClipTarget {
    grid: Grid,
    channels: usize,
    normalize: bool,
    per_token: usize,
    /// The chosen frames, [T'·u].
    frames: Tensor,
    /// The last of them.
    last: i64,
}

impl ClipTarget {
    /// Predicts the `chosen` frames of each clip, u per time step: raw or, with `normalize`,
    /// standardised within each token by its mean and *unbiased* variance.
    ///
    /// # Errors
    /// [`TargetError::Frames`] unless the chosen frames divide evenly over the steps of `grid`.
    pub fn new(
        grid: Grid,
        channels: usize,
        chosen: &[usize],
        normalize: bool,
        device: Device,
    ) -> Result<Self, TargetError> {
        let steps = grid.time();
        if chosen.is_empty() || !chosen.len().is_multiple_of(steps) {
            return Err(TargetError::Frames { chosen: chosen.len(), steps });
        }
        let places: Vec<i64> = chosen.iter().map(|&frame| frame as i64).collect();
        let frames = Tensor::from_slice(&places).to_device(device);
        let (per_token, last) = (chosen.len() / steps, places.into_iter().max().unwrap_or(0));
        Ok(Self { grid, channels, normalize, per_token, frames, last })
    }

    /// Whether pixels are standardised within each token.
    pub fn is_normalized(&self) -> bool {
        self.normalize
    }

    /// The chosen frames of clips: [B, C, T, H, W] to [B, C, T'·u, H, W].
    ///
    /// # Panics
    /// When the clips have fewer frames.
    pub fn choose(&self, clips: &Tensor) -> Tensor {
        clips.index_select(2, &self.frames)
    }

    /// Targets of all tokens, in the grid's order: clips [B, C, T, H, W] to [B, L, P].
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the clips do not fit the grid.
    pub fn all(&self, clips: &Tensor) -> Result<Tensor, TargetError> {
        let tokens = self.tokens(clips)?;
        Ok(if self.normalize { standardised(tokens) } else { tokens })
    }

    /// Targets of the masked tokens: normalised clips [B, C, T, H, W] to [B, M, P].
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the clips do not fit the grid.
    pub fn masked(&self, clips: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let tokens = self.tokens(clips)?;
        let masked = indices.gather_masked(&tokens);
        Ok(if self.normalize { standardised(masked) } else { masked })
    }

    /// The loss of a prediction of these targets [B, M, P], a scalar in single precision.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when prediction and target differ in shape.
    pub fn loss(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        // Every sample masks M tokens, so sum(l · mask) / sum(mask) is the plain mean.
        FeatureLoss::Mse.of(prediction, target)
    }

    /// Turns predictions of all tokens [B, L, P] into the chosen frames [B, C, T'·u, H, W].
    ///
    /// Standardised predictions are rescaled with each token's true mean and standard deviation,
    /// taken from `clips`: the result is for display, not for scores.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when clips or predictions do not fit the grid.
    pub fn to_frames(&self, predictions: &Tensor, clips: &Tensor) -> Result<Tensor, TargetError> {
        let pixels = match self.normalize {
            true => {
                let (mean, deviation) = statistics(&self.tokens(clips)?);
                predictions * deviation + mean
            }
            false => predictions.shallow_clone(),
        };
        unpatchify_clip(&pixels, self.grid, self.channels, self.per_token)
    }

    /// All tokens of the chosen frames, as they are.
    fn tokens(&self, clips: &Tensor) -> Result<Tensor, TargetError> {
        let size = clips.size();
        if size.len() != 5 || size[2] <= self.last {
            let expected = format!("clips [B, C, T, H, W] of {} or more frames", self.last + 1);
            return Err(TargetError::Shape { found: size, expected });
        }
        patchify_clip(&self.choose(clips), self.grid)
    }

    /// A mask [B, L] at the resolution of the chosen frames: [B, 1, T'·u, H, W] for patches
    /// of `patch` pixels.
    pub fn mask_of_frames(&self, mask: &Tensor, patch: usize) -> Tensor {
        let [t, h, w] =
            [self.grid.time(), self.grid.height(), self.grid.width()].map(|side| side as i64);
        [(2, self.per_token), (3, patch), (4, patch)]
            .into_iter()
            .fold(mask.view([-1, 1, t, h, w]), |mask, (side, times)| {
                mask.repeat_interleave_self_int(times as i64, side, None)
            })
    }
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use proptest::prelude::*;
    use tch::Kind;

    use super::*;
    use crate::tests::normal;
    use crate::{PixelTarget, patchify};

    fn largest(x: &Tensor) -> f64 {
        x.abs().max().double_value(&[])
    }

    fn indices(tokens: usize) -> TokenIndices {
        let noise: Vec<f32> = (0..2 * tokens).map(|i| (i * 29 % 47) as f32).collect();
        TokenIndices::new(&MaskPlan::from_noise(&noise, 2, 0.5).unwrap(), Device::Cpu)
    }

    fn target(chosen: &[usize], normalize: bool) -> ClipTarget {
        ClipTarget::new(Grid::new(2, 2, 3).unwrap(), 3, chosen, normalize, Device::Cpu).unwrap()
    }

    #[test]
    fn predicting_nothing_costs_767_of_768() {
        let grid = Grid::new(2, 2, 2).unwrap();
        let target = ClipTarget::new(grid, 3, &[0, 3], true, Device::Cpu).unwrap();
        let wanted = target.masked(&normal("c", &[2, 3, 4, 32, 32]), &indices(8)).unwrap();
        let loss = target.loss(&wanted.zeros_like(), &wanted).unwrap().double_value(&[]);
        assert!((loss - 767.0 / 768.0).abs() < 1e-4, "{loss}");
    }

    /// With one frame per token, the token's other frames do not affect the targets.
    #[test]
    fn frames_that_are_not_chosen_are_no_target() {
        let target = target(&[0, 3], true);
        let clips = normal("clips", &[2, 3, 4, 8, 12]);
        let other = normal("other", &[2, 3, 4, 8, 12]);
        let pieces = [(0, &clips), (1, &other), (2, &other), (3, &clips)];
        let changed = Tensor::cat(&pieces.map(|(t, from)| from.narrow(2, t, 1)), 2);
        assert_eq!(target.all(&changed).unwrap(), target.all(&clips).unwrap());
        assert_eq!(
            target.masked(&changed, &indices(12)).unwrap(),
            indices(12).gather_masked(&target.all(&clips).unwrap())
        );
    }

    #[test]
    fn an_image_is_a_clip_of_one_frame() {
        let grid = Grid::image(2, 3).unwrap();
        let images = normal("images", &[2, 3, 8, 12]);
        let clips = images.unsqueeze(2);
        assert_eq!(patchify_clip(&clips, grid).unwrap(), patchify(&images, grid).unwrap());
        let clip = ClipTarget::new(grid, 3, &[0], true, Device::Cpu).unwrap();
        let image = PixelTarget::normalized(grid, 3);
        assert_eq!(clip.all(&clips).unwrap(), image.all(&images).unwrap());
    }

    #[test]
    fn true_targets_turn_back_into_the_frames() {
        let clips = normal("clips", &[2, 3, 4, 8, 12]);
        for (chosen, normalize) in [(&[0, 3][..], true), (&[0, 1, 2, 3], true), (&[0, 2], false)] {
            let target = target(chosen, normalize);
            let back = target.to_frames(&target.all(&clips).unwrap(), &clips).unwrap();
            assert!(largest(&(back - target.choose(&clips))) < 1e-5);
        }
    }

    #[test]
    fn a_mask_covers_the_pixels_of_its_tokens() {
        let target = target(&[0, 1, 2, 3], false);
        let mask = indices(12).mask();
        let frames = target.mask_of_frames(&mask, 4).expand([2, 3, 4, 8, 12], false);
        let tokens = patchify_clip(&frames, target.grid).unwrap();
        let mean = tokens.mean_dim([2_i64].as_slice(), false, Kind::Float);
        assert_eq!(mean, mask);
    }

    #[test]
    fn frames_that_do_not_divide_are_refused() {
        let grid = Grid::new(4, 2, 3).unwrap();
        let refused = ClipTarget::new(grid, 3, &[0, 1, 2], true, Device::Cpu).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "3 predicted frames do not divide over 4 steps of time; choose a multiple of 4"
        );
        let clips = normal("clips", &[2, 3, 4, 8, 12]);
        assert!(patchify_clip(&clips, Grid::new(3, 2, 3).unwrap()).is_err());
        assert!(patchify_clip(&clips.select(2, 0), grid).is_err());
        let target = target(&[0, 3], true);
        for other in [clips.narrow(2, 0, 3), clips.select(2, 0)] {
            for refused in [
                target.all(&other),
                target.masked(&other, &indices(12)),
                target.to_frames(&target.all(&clips).unwrap(), &other),
            ] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.ends_with("[B, C, T, H, W] of 4 or more frames"), "{refused}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn tokens_turn_back_into_the_frames(
            (t, u, h, w) in (1_usize..4, 1_usize..3, 1_usize..4, 1_usize..4),
            (p, c, b) in (1_usize..4, 1_usize..4, 1_usize..3),
        ) {
            let grid = Grid::new(t, h, w).unwrap();
            let shape = [b, c, t * u, h * p, w * p].map(|side| side as i64);
            let clips = normal("clips", &shape);
            let tokens = patchify_clip(&clips, grid).unwrap();
            prop_assert_eq!(tokens.size(), [b, t * h * w, u * p * p * c].map(|side| side as i64));
            prop_assert_eq!(unpatchify_clip(&tokens, grid, c, u).unwrap(), clips);
        }

        /// Predicted frames ascend from the first; under `Linspace` they end at the last.
        #[test]
        fn chosen_frames_ascend_from_the_first(steps in 2_usize..20, t in 1_usize..5, u in 1_usize..3) {
            let frames = steps * t;
            prop_assume!(u <= t);
            let by = |which| target_frames(which, frames, steps * u);
            let (linspace, stride) = (by(TargetFrames::Linspace), by(TargetFrames::Stride));
            for chosen in [&linspace, &stride] {
                prop_assert!(chosen.is_sorted_by(|a, b| a < b) && chosen[0] == 0);
            }
            prop_assert_eq!(linspace.last(), Some(&(frames - 1)));
            prop_assert_eq!(stride.last(), Some(&(frames - frames / (steps * u) - (frames % (steps * u)))));
        }
    }
}
