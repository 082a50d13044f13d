//! Pixels as targets, raw or standardised within each patch (MAE §3 and §4.1).

use bauta_backbones::TokenIndices;
use bauta_masking::Grid;
use tch::Tensor;

use crate::{FeatureLoss, TargetError, patchify, unpatchify};

/// Added to a patch's variance, inside the root.
const EPS: f64 = 1e-6;

/// Mean squared error on the pixels of masked patches.
#[derive(Clone, Debug)]
pub struct PixelTarget {
    grid: Grid,
    channels: usize,
    normalize: bool,
}

impl PixelTarget {
    /// Predicts the pixels of the (normalised) image without standardising them per patch.
    pub fn raw(grid: Grid, channels: usize) -> Self {
        Self { grid, channels, normalize: false }
    }

    /// Predicts pixels standardised by their own patch's mean and *unbiased* variance
    /// (the reference's `norm_pix_loss`, used by MAE's headline models).
    pub fn normalized(grid: Grid, channels: usize) -> Self {
        Self { grid, channels, normalize: true }
    }

    /// Whether pixels are standardised within each patch.
    pub fn is_normalized(&self) -> bool {
        self.normalize
    }

    /// Targets of all patches, in image order: images [B, C, H, W] to [B, L, P].
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the images do not fit the grid.
    pub fn all(&self, images: &Tensor) -> Result<Tensor, TargetError> {
        Ok(self.normalized_patches(patchify(images, self.grid)?))
    }

    /// Turns predictions of all patches, [B, L, P] in image order, into images [B, C, H, W].
    ///
    /// Standardised predictions are rescaled with each patch's true mean and standard
    /// deviation, taken from `images`: the result is for display, not for scores.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when images or predictions do not fit the grid.
    pub fn to_images(&self, predictions: &Tensor, images: &Tensor) -> Result<Tensor, TargetError> {
        if !self.normalize {
            return unpatchify(predictions, self.grid, self.channels);
        }
        let (mean, deviation) = statistics(&patchify(images, self.grid)?);
        unpatchify(&(predictions * deviation + mean), self.grid, self.channels)
    }

    /// Targets of the masked patches: normalised images [B, C, H, W] to [B, M, P].
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the images do not fit the grid.
    pub fn masked(&self, images: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let patches = patchify(images, self.grid)?;
        Ok(self.normalized_patches(indices.gather_masked(&patches)))
    }

    /// The loss of a prediction of these targets [B, M, P], a scalar in single precision.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when prediction and target differ in shape.
    pub fn loss(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        // Every sample masks M patches, so the reference's sum(l · mask) / sum(mask)
        // is the plain mean.
        FeatureLoss::Mse.of(prediction, target)
    }

    /// Returns a closure that computes the loss of predicting the mean of all patches of a target
    /// [B, M, P]: the loss must fall below it before anything is learnt about an image.
    pub fn of_mean(&self, target: Tensor) -> impl FnOnce() -> Result<Tensor, TargetError> + use<> {
        move || Ok(FeatureLoss::Mse.of_mean(&target))
    }

    fn normalized_patches(&self, patches: Tensor) -> Tensor {
        if self.normalize { standardised(patches) } else { patches }
    }
}

/// Patches standardised by their own mean and standard deviation.
pub(crate) fn standardised(patches: Tensor) -> Tensor {
    let (mean, deviation) = statistics(&patches);
    (patches - mean) / deviation
}

/// Mean and √(unbiased variance + eps) of each patch, both [..., 1].
pub(crate) fn statistics(patches: &Tensor) -> (Tensor, Tensor) {
    let (variance, mean) = patches.var_mean_dim([-1_i64].as_slice(), true, true);
    (mean, (variance + EPS).sqrt())
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use proptest::prelude::*;
    use tch::{Device, Kind};

    use super::*;
    use crate::tests::{normal, numbered};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn grid() -> Grid {
        Grid::image(2, 3).unwrap()
    }

    fn indices() -> TokenIndices {
        let noise = [0.3, 0.9, 0.1, 0.5, 0.7, 0.2, 0.6, 0.4, 0.8, 0.1, 0.3, 0.9];
        TokenIndices::new(&MaskPlan::from_noise(&noise, 2, 0.5).unwrap(), Device::Cpu)
    }

    fn largest(x: &Tensor) -> f64 {
        x.abs().max().double_value(&[])
    }

    #[test]
    fn standardises_with_the_unbiased_variance() {
        let patches = Tensor::arange(12, CPU).view([1, 1, 12]);
        let (mean, deviation) = statistics(&patches);
        let found = ((patches - mean) / deviation).flatten(0, -1);
        for (place, wanted) in [-1.5254256, -1.2480755, -0.9707253].into_iter().enumerate() {
            assert!((found.double_value(&[place as i64]) - wanted).abs() < 1e-6);
        }
    }

    #[test]
    fn predicting_nothing_costs_what_unbiased_texture_holds() {
        let target = PixelTarget::normalized(grid(), 3);
        let images = normal("images", &[2, 3, 32, 48]);
        let wanted = target.masked(&images, &indices()).unwrap();
        let loss = target.loss(&wanted.zeros_like(), &wanted).unwrap().double_value(&[]);
        // (P − 1) / P at P = 768; a biased variance would give 1.
        assert!((loss - 767.0 / 768.0).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn masked_targets_are_rows_of_all_targets() {
        let images = normal("images", &[2, 3, 8, 12]);
        for target in [PixelTarget::raw(grid(), 3), PixelTarget::normalized(grid(), 3)] {
            let all = target.all(&images).unwrap();
            let masked = target.masked(&images, &indices()).unwrap();
            assert_eq!(indices().gather_masked(&all), masked);
        }
    }

    #[test]
    fn true_targets_turn_back_into_the_image() {
        let images = normal("images", &[2, 3, 8, 12]);
        for target in [PixelTarget::raw(grid(), 3), PixelTarget::normalized(grid(), 3)] {
            let back = target.to_images(&target.all(&images).unwrap(), &images).unwrap();
            assert!(largest(&(back - &images)) < 1e-5);
        }
    }

    #[test]
    fn visible_predictions_have_exactly_no_gradient() {
        let target = PixelTarget::normalized(grid(), 3);
        let images = normal("images", &[2, 3, 8, 12]);
        let prediction = normal("prediction", &[2, 6, 48]).set_requires_grad(true);
        let masked = indices().gather_masked(&prediction);
        let wanted = target.masked(&images, &indices()).unwrap();
        target.loss(&masked, &wanted).unwrap().backward();
        let gradient = prediction.grad().abs().sum_dim_intlist([2].as_slice(), false, None);
        assert_eq!(gradient.gt(0.0).to_kind(Kind::Float), indices().mask());
    }

    #[test]
    fn the_loss_is_the_references_masked_mean() {
        let target = PixelTarget::raw(grid(), 3);
        let images = normal("images", &[2, 3, 8, 12]);
        let prediction = normal("prediction", &[2, 6, 48]);
        let all = target.all(&images).unwrap();
        let per_token = (&prediction - all).square().mean_dim([2].as_slice(), false, None);
        let mask = indices().mask();
        let wanted = (per_token * &mask).sum(None) / mask.sum(None);
        let masked = indices().gather_masked(&prediction);
        let found = target.loss(&masked, &target.masked(&images, &indices()).unwrap()).unwrap();
        assert!(largest(&(found - wanted)) < 1e-6);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn patches_turn_back_into_the_image(
            (h, w, p, c, b) in (1_usize..4, 1_usize..4, 1_usize..5, 1_usize..5, 1_usize..4)
        ) {
            let grid = Grid::image(h, w).unwrap();
            let shape = [b, c, h * p, w * p].map(|side| side as i64);
            let images = normal("images", &shape);
            let patches = patchify(&images, grid).unwrap();
            prop_assert_eq!(patches.size(), [b, h * w, p * p * c].map(|side| side as i64));
            prop_assert_eq!(unpatchify(&patches, grid, c).unwrap(), images);
        }

        #[test]
        fn standardised_targets_ignore_brightness_and_contrast(
            gain in 0.5..4.0_f64,
            offset in -2.0..2.0_f64,
            draw in 0..100_u64,
        ) {
            let target = PixelTarget::normalized(grid(), 3);
            let images = numbered("images", draw, &[1, 3, 8, 12]);
            let plain = target.all(&images).unwrap();
            prop_assert!(largest(&plain.mean_dim([2].as_slice(), false, None)) < 1e-5);
            let changed = target.all(&(&images * gain + offset)).unwrap();
            prop_assert!(largest(&(changed - plain)) < 1e-4);
            // The targets of a flat patch are zero.
            let flat = target.all(&(images.zeros_like() + offset)).unwrap();
            prop_assert_eq!(largest(&flat), 0.0);
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let target = PixelTarget::raw(grid(), 3);
        for shape in [[2, 3, 9, 12], [2, 3, 8, 13], [2, 3, 8, 8]] {
            assert!(target.masked(&Tensor::zeros(shape, CPU), &indices()).is_err(), "{shape:?}");
        }
        let (a, b) = (Tensor::zeros([2, 3, 48], CPU), Tensor::zeros([2, 3, 12], CPU));
        let message = target.loss(&a, &b).unwrap_err().to_string();
        assert!(message.contains("[2, 3, 48]") && message.contains("[2, 3, 12]"));
    }
}
