//! ResNet-18 and ResNet-50 with torchvision's names: convolutional encoders of images (He et
//! al., arXiv 1512.03385).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::residual::{Layers, Residual, Shape, convolve};
use crate::{BatchNorm, Init, ModelError, Moments, Scope, StepCost};

/// Architecture and input channels of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// The blocks.
    pub depth: ResNetDepth,
    /// The first layers.
    pub stem: Stem,
    /// Channels after the stem, 64 in published networks; each further stage has twice as many.
    pub width: usize,
    /// Channels of an image.
    pub channels: usize,
}

/// The blocks of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResNetDepth {
    /// Four stages of two basic blocks.
    #[serde(rename = "resnet18")]
    Eighteen,
    /// Stages of 3, 4, 6 and 3 bottlenecks.
    #[serde(rename = "resnet50")]
    Fifty,
}

/// The first layers of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// One 3 × 3 convolution, for images of 32 pixels (CIFAR).
    Small,
    /// A 7 × 7 convolution of stride 2 and max pooling, for images of 224 pixels (ImageNet).
    Large,
}

impl ResNetConfig {
    /// Width of the features, D: 512 for ResNet-18 and 2048 for ResNet-50 at width 64.
    pub fn features(&self) -> usize {
        self.residual().features_dim() as usize
    }

    /// Number of stages of blocks; each but the first halves the resolution of the map.
    pub const STAGES: usize = 4;

    /// Channels and stride in pixels of each stage's feature map.
    pub fn stages(&self) -> Vec<[usize; 2]> {
        self.residual().stages()
    }

    /// Pixels between neighbouring positions of the last feature map.
    pub fn stride(&self) -> usize {
        if self.stem == Stem::Large { 32 } else { 8 }
    }

    /// The cost of a training step for one image of this size.
    pub fn step_cost(&self, height: usize, width: usize) -> StepCost {
        let image = (self.channels * height * width) as u64;
        let convolutions = self.residual().convolution_sizes(height, width).into_iter();
        let cost = |(place, [multiplications, outputs]): (usize, [u64; 2])| {
            let operations = 2 * multiplications;
            let made = if place == 0 {
                StepCost::of_data(operations)
            } else {
                StepCost::trained(operations)
            };
            // The norm keeps its input, and the next layer keeps the activation's output.
            StepCost { kept: 2 * outputs, ..made }
        };
        let start = StepCost { kept: image, ..StepCost::default() };
        convolutions.enumerate().map(cost).fold(start, |sum, one| sum + one)
    }

    fn residual(&self) -> Residual {
        let Self { depth, stem, width, channels } = *self;
        let (depths, bottleneck) = match depth {
            ResNetDepth::Eighteen => ([2, 2, 2, 2], false),
            ResNetDepth::Fifty => ([3, 4, 6, 3], true),
        };
        let (large, shortcut) = (stem == Stem::Large, "downsample");
        Residual::new(Shape { channels, width, large, depths, bottleneck, shortcut })
    }
}

/// A residual network without a head.
#[derive(Debug)]
pub struct ResNet {
    config: ResNetConfig,
    residual: Residual,
    weights: HashMap<String, Tensor>,
    norms: HashMap<String, BatchNorm>,
}

impl ResNet {
    /// Adds all parameters under torchvision's names. Convolutions are initialised as in
    /// torchvision: normal, scaled by their fan-out.
    ///
    /// # Errors
    /// [`ModelError::Config`] when `width` or `channels` is 0.
    pub fn new(mut scope: Scope<'_>, config: ResNetConfig) -> Result<Self, ModelError> {
        if config.width == 0 || config.channels == 0 {
            let text = format!(
                "a residual network needs a width and channels of at least 1, not {} and {}",
                config.width, config.channels
            );
            return Err(ModelError::Config(text));
        }
        let residual = config.residual();
        let mut weights = HashMap::new();
        for layer in residual.layers() {
            let fan_out = layer.shape[0] * layer.shape[2] * layer.shape[3];
            let init = Init::Normal((2.0 / fan_out as f64).sqrt());
            let weight = scope.sub(&layer.name).add("weight", &layer.shape, init);
            weights.insert(layer.name, weight);
        }
        let norms = residual.norms().into_iter().map(|(name, channels)| {
            let norm = BatchNorm::new(scope.sub(&name), channels as usize);
            (name, norm)
        });
        let norms = norms.collect();
        Ok(Self { config, residual, weights, norms })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// Maps normalised images [B, C, H, W] to their features [B, D], the mean over positions.
    ///
    /// # Errors
    /// As [`Self::feature_map`].
    pub fn forward(&self, images: &Tensor, moments: Moments) -> Result<Tensor, ModelError> {
        Ok(self.feature_map(images, moments)?.mean_dim(&[2_i64, 3][..], false, None))
    }

    /// Maps normalised images [B, C, H, W] to their last feature map [B, D, H', W'], whose
    /// positions are [`ResNetConfig::stride`] pixels apart.
    ///
    /// # Errors
    /// As [`Self::stage_maps`].
    pub fn feature_map(&self, images: &Tensor, moments: Moments) -> Result<Tensor, ModelError> {
        Ok(self.stage_maps(images, moments)?.pop().expect("there are four stages"))
    }

    /// Maps normalised images [B, C, H, W] to the feature map of each stage (C2 to C5 of He et
    /// al.), with the channels and strides in [`ResNetConfig::stages`].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another shape, [`ModelError::Config`] when
    /// batch norms would take the variance of a single value.
    pub fn stage_maps(&self, images: &Tensor, moments: Moments) -> Result<Vec<Tensor>, ModelError> {
        let size = images.size();
        if size.len() != 4 || size[1] != self.config.channels as i64 {
            let expected = format!("[B, {}, H, W]", self.config.channels);
            return Err(ModelError::Shape { what: "the input", found: size, expected });
        }
        if let Moments::Batch { splits } = moments {
            let stride = self.config.stride() as i64;
            let places: i64 = size[2..].iter().map(|side| (side + stride - 1) / stride).product();
            let parts = if size[0] % splits as i64 == 0 { splits as i64 } else { 1 };
            if places * size[0] / parts < 2 {
                return Err(ModelError::Config(format!(
                    "{} image(s) of {} × {} pixels in {parts} part(s) leave one value per channel \
                     of the last map, which has no variance; take more or larger images, or fewer \
                     parts",
                    size[0], size[2], size[3]
                )));
            }
        }
        Ok(self.residual.maps(&Pass { network: self, moments }, &channels_last(images)))
    }
}

/// The same images in channels-last layout, in which oneDNN's convolutions and batch norms are
/// faster; all later feature maps keep it.
fn channels_last(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// One pass through a network.
struct Pass<'a> {
    network: &'a ResNet,
    moments: Moments,
}

impl Layers for Pass<'_> {
    fn conv(&self, name: &str, x: &Tensor, stride: i64) -> Tensor {
        convolve(x, &self.network.weights[name], stride)
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        self.network.norms[name].forward(x, self.moments)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Parameters, tests::normal};

    fn built(depth: ResNetDepth, stem: Stem, width: usize) -> (Parameters, ResNet) {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ResNetConfig { depth, stem, width, channels: 3 };
        let network = ResNet::new(parameters.root(), config).unwrap();
        (parameters, network)
    }

    #[test]
    fn counts_are_torchvisions() {
        for (depth, features, count) in
            [(ResNetDepth::Eighteen, 512, 11_176_512), (ResNetDepth::Fifty, 2048, 23_508_032)]
        {
            let mut parameters = Parameters::sketch();
            let config = ResNetConfig { depth, stem: Stem::Large, width: 64, channels: 3 };
            ResNet::new(parameters.root(), config).unwrap();
            let trained: usize = parameters.trainable().map(|p| p.tensor.numel()).sum();
            assert_eq!((config.features(), trained), (features, count));
        }
        // torchvision's table lists 1.814 and 4.089 billion multiplications for 224 × 224 pixels,
        // of which the head has 0.5 and 2 million.
        let multiplications = |depth| {
            let config = ResNetConfig { depth, stem: Stem::Large, width: 64, channels: 3 };
            config.step_cost(224, 224).forward / 2
        };
        assert_eq!(multiplications(ResNetDepth::Eighteen), 1_813_561_344);
        assert_eq!(multiplications(ResNetDepth::Fifty), 4_087_136_256);
    }

    #[test]
    fn a_pass_for_training_changes_the_running_moments_alone() {
        let (parameters, network) = built(ResNetDepth::Eighteen, Stem::Small, 4);
        let images = normal("images", &[4, 3, 8, 8]);
        let before: Vec<Tensor> = parameters.iter().map(|p| p.tensor.detach().copy()).collect();
        let once = network.forward(&images, Moments::Running).unwrap();
        assert_eq!(once.size(), [4, 32]);
        let changed = |before: &[Tensor]| -> Vec<&str> {
            let pairs = parameters.iter().zip(before);
            pairs.filter(|(p, old)| p.tensor != **old).map(|(p, _)| p.name.as_str()).collect()
        };
        assert!(changed(&before).is_empty());
        let _ = network.forward(&images, Moments::Batch { splits: 1 }).unwrap();
        let changed = changed(&before);
        assert!(changed.iter().all(|name| name.contains(".running_")), "{changed:?}");
        assert_eq!(changed.len(), 2 * 20);
        assert_ne!(network.forward(&images, Moments::Running).unwrap(), once);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (_, network) = built(ResNetDepth::Fifty, Stem::Large, 2);
        let grey = normal("grey", &[2, 1, 32, 32]);
        let refused = network.forward(&grey, Moments::Running).unwrap_err().to_string();
        assert_eq!(refused, "the input is [2, 1, 32, 32], the model expects [B, 3, H, W]");
        let config = ResNetConfig { width: 0, ..*network.config() };
        let mut parameters = Parameters::sketch();
        assert!(ResNet::new(parameters.root(), config).is_err());
    }
}
