//! Convolutional networks of spectrograms.

use tch::Tensor;

use super::{ClipFeatures, Conv, pooled};
use crate::{BatchNorm, ModelError, Moments, Scope};

/// A convolutional network of spectrograms: four layers of 3 × 3 filters and stride 2, each
/// normalised.
#[derive(Debug)]
pub struct SpectrogramConv {
    channels: usize,
    width: usize,
    layers: Vec<(Conv, BatchNorm)>,
}

impl SpectrogramConv {
    /// Adds `conv1` to `conv4` of `width`, 2, 4 and 4 times that, with `bn1` to `bn4`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is 0.
    pub fn new(mut scope: Scope<'_>, channels: usize, width: usize) -> Result<Self, ModelError> {
        if channels == 0 || width == 0 {
            let text = format!("a network of spectrograms has {channels} channels, width {width}");
            return Err(ModelError::Config(text));
        }
        let mut inputs = channels;
        let layers = [1, 2, 4, 4].into_iter().enumerate().map(|(place, factor)| {
            let name = |kind: &str| format!("{kind}{}", place + 1);
            let outputs = factor * width;
            let sides = [outputs, inputs];
            inputs = outputs;
            let conv = Conv::new(scope.sub(name("conv")), sides, [1, 3, 3], [1, 2, 2]);
            (conv, BatchNorm::new(scope.sub(name("bn")), outputs))
        });
        Ok(Self { channels, width, layers: layers.collect() })
    }

    /// Width of the features, D, and of what comes before the last layer.
    pub fn features(&self) -> usize {
        4 * self.width
    }

    /// Spectrograms [B, C, F, T] to their features; the map is [B, D, 1, F', T'].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when they are of another shape.
    pub fn forward(&self, sound: &Tensor, moments: Moments) -> Result<ClipFeatures, ModelError> {
        let size = sound.size();
        if size.len() != 4 || size[1] != self.channels as i64 {
            let expected = format!("[B, {}, F, T]", self.channels);
            return Err(ModelError::Shape { what: "the spectrograms", found: size, expected });
        }
        let mut x = sound.unsqueeze(2);
        let mut before_last = pooled(&x);
        for (conv, norm) in &self.layers {
            before_last = pooled(&x);
            x = norm.forward(&conv.forward(&x), moments).relu();
        }
        Ok(ClipFeatures { before_last, embedding: pooled(&x), map: x })
    }
}
