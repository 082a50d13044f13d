//! EfficientNet-Lite0, a convolutional classifier that serves as a frozen teacher.
//!
//! Tan and Le, EfficientNet, arXiv 1905.11946, in the variant for mobile processors: no
//! squeeze-and-excitation, and ReLU6 in place of swish. A stem halves the image, sixteen blocks
//! expand the channels, filter each of them and project them back, and a head pools 1280 features
//! for 1000 classes. Names are those of the published PyTorch file. It was converted from
//! TensorFlow, hence the padding.

mod convolution;

use std::path::Path;

use strum::IntoEnumIterator;
use tch::{Device, Kind, Tensor};

use self::convolution::{Convolution, Shape};
use crate::checkpoint::read_pth;
use crate::{ImageNormalization, Init, ModelError, Parameters, Scope};

/// Groups of blocks: count, kernel side, stride of the first, expansion factor, output channels.
const GROUPS: [(usize, i64, i64, i64, i64); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Channels of the stem.
const STEM: i64 = 32;

/// Features of an image, before the classifier.
const FEATURES: i64 = 1280;

/// Number of ImageNet's classes.
const CLASSES: i64 = 1000;

/// Resolution of a feature map relative to the image, the finest first. Of the maps of equal size,
/// the last is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum FeatureStride {
    /// A quarter of the image's sides, 24 channels.
    Four,
    /// An eighth, 40 channels.
    Eight,
    /// A sixteenth, 112 channels.
    Sixteen,
    /// A thirty-second, 320 channels.
    ThirtyTwo,
}

impl FeatureStride {
    /// The stride of the given number of pixels, if there is one.
    pub fn of_pixels(pixels: usize) -> Option<Self> {
        Self::iter().find(|stride| stride.pixels() == pixels)
    }

    /// Pixels of the image per pixel of the map, in each direction.
    pub fn pixels(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
            Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
        }
    }

    /// Channels of the map, C.
    pub fn channels(self) -> usize {
        match self {
            Self::Four => 24,
            Self::Eight => 40,
            Self::Sixteen => 112,
            Self::ThirtyTwo => 320,
        }
    }

    /// The number of blocks up to the map.
    fn blocks(self) -> usize {
        match self {
            Self::Four => 3,
            Self::Eight => 5,
            Self::Sixteen => 11,
            Self::ThirtyTwo => 16,
        }
    }
}

/// The network, for inference: batch norms use the statistics in the file.
#[derive(Debug)]
pub struct EfficientNetLite0 {
    stem: Convolution,
    blocks: Vec<Block>,
    head: Convolution,
    /// Weight [1000, 1280] and bias [1000].
    classes: [Tensor; 2],
}

impl EfficientNetLite0 {
    /// Adds all parameters, frozen, under the names of the published file.
    pub fn new(mut scope: Scope<'_>) -> Self {
        let shape = Shape { inputs: 3, outputs: STEM, side: 3, stride: 2, groups: 1 };
        let stem = Convolution::new(&mut scope, ["_conv_stem", "_bn0"], shape);
        let (mut blocks, mut inputs) = (Vec::new(), STEM);
        for (count, side, stride, widening, outputs) in GROUPS {
            for place in 0..count {
                let sub = scope.sub(format!("_blocks.{}", blocks.len()));
                let stride = if place == 0 { stride } else { 1 };
                let shape = Shape { inputs, outputs, side, stride, groups: 1 };
                blocks.push(Block::new(sub, shape, widening));
                inputs = outputs;
            }
        }
        let shape = Shape { inputs, outputs: FEATURES, side: 1, stride: 1, groups: 1 };
        let head = Convolution::new(&mut scope, ["_conv_head", "_bn1"], shape);
        let mut fc = scope.sub("_fc");
        let bound = 1.0 / (CLASSES as f64).sqrt();
        let weight = fc.add_frozen("weight", &[CLASSES, FEATURES], Init::Uniform(bound));
        let bias = fc.add_frozen("bias", &[CLASSES], Init::Constant(0.0));
        Self { stem, blocks, head, classes: [weight, bias] }
    }

    /// Reads the published file, `efficientnet-lite0-57934424.pth`, to `device`.
    ///
    /// The batch norms are folded into the convolutions once, so a later change of the parameters
    /// does not change the model's outputs.
    ///
    /// # Errors
    /// As [`read_pth`], and [`ModelError::Mismatch`] unless names and shapes agree exactly; the
    /// unused counts of batches are left out.
    pub fn read(path: &Path, device: Device) -> Result<(Parameters, Self), ModelError> {
        let mut tensors = read_pth(path)?;
        tensors.retain(|name, _| !name.ends_with(".num_batches_tracked"));
        let mut parameters = Parameters::new(0, device);
        let mut model = Self::new(parameters.root());
        parameters
            .assign(&tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: path.into(), mismatch })?;
        model.fold();
        Ok((parameters, model))
    }

    /// The normalisation that the published weights need: (x − 127) / 128 for pixels in 0 to 255.
    pub fn normalization(device: Device) -> ImageNormalization {
        ImageNormalization::new(&[127.0 / 255.0; 3], &[128.0 / 255.0; 3], device)
            .expect("the deviations are positive")
    }

    /// The last feature map of a stride, for normalised images [B, 3, H, W].
    ///
    /// Returns [B, C, ⌈H / stride⌉, ⌈W / stride⌉], on the CPU a view of contiguous [B, ⌈H /
    /// stride⌉, ⌈W / stride⌉, C]; later layers are not computed.
    ///
    /// # Panics
    /// When the images do not have 3 channels.
    pub fn forward_features(&self, images: &Tensor, stride: FeatureStride) -> Tensor {
        let stem = self.stem.forward_relu6(&channels_last(images));
        self.blocks[..stride.blocks()].iter().fold(stem, |x, block| block.forward(x))
    }

    /// The classifier's input features [B, 1280], for normalised images [B, 3, H, W].
    ///
    /// # Panics
    /// As [`forward_features`](Self::forward_features).
    pub fn pooled(&self, images: &Tensor) -> Tensor {
        let map = self.forward_features(images, FeatureStride::ThirtyTwo);
        self.head.forward_relu6(&map).mean_dim([2, 3].as_slice(), false, Kind::Float)
    }

    /// The scores [B, 1000] of ImageNet's classes, for normalised images [B, 3, H, W].
    ///
    /// # Panics
    /// As [`forward_features`](Self::forward_features).
    pub fn logits(&self, images: &Tensor) -> Tensor {
        let [weight, bias] = &self.classes;
        self.pooled(images).linear(weight, Some(bias))
    }

    /// Folds each batch norm into its convolution, permanently.
    fn fold(&mut self) {
        self.stem.fold();
        for block in &mut self.blocks {
            block.parts_mut().for_each(Convolution::fold);
        }
        self.head.fold();
    }
}

/// `x + project(relu6(depthwise(relu6(expand(x)))))`, with the sum only where shapes allow it.
#[derive(Debug)]
struct Block {
    /// Absent if the block does not expand the channels.
    expand: Option<Convolution>,
    depthwise: Convolution,
    project: Convolution,
    residual: bool,
}

impl Block {
    /// Takes the inputs, outputs, side and stride from `shape`.
    fn new(mut scope: Scope<'_>, shape: Shape, widening: i64) -> Self {
        let Shape { inputs, outputs, stride, .. } = shape;
        let wide = inputs * widening;
        let point = Shape { side: 1, stride: 1, ..shape };
        let expand = Shape { outputs: wide, ..point };
        let depthwise = Shape { inputs: wide, outputs: wide, groups: wide, ..shape };
        let project = Shape { inputs: wide, ..point };
        Self {
            expand: (widening > 1)
                .then(|| Convolution::new(&mut scope, ["_expand_conv", "_bn0"], expand)),
            depthwise: Convolution::new(&mut scope, ["_depthwise_conv", "_bn1"], depthwise),
            project: Convolution::new(&mut scope, ["_project_conv", "_bn2"], project),
            residual: stride == 1 && inputs == outputs,
        }
    }

    fn forward(&self, x: Tensor) -> Tensor {
        let wide = self.expand.as_ref().map(|expand| expand.forward_relu6(&x));
        let filtered = self.depthwise.forward_relu6(wide.as_ref().unwrap_or(&x));
        let mut narrow = self.project.forward(&filtered);
        if self.residual { narrow.g_add_(&x) } else { narrow }
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Convolution> {
        self.expand.iter_mut().chain([&mut self.depthwise, &mut self.project])
    }
}

/// The same images in channels-last layout, which makes depthwise convolutions several times faster
/// on the CPU.
fn channels_last(images: &Tensor) -> Tensor {
    if images.device() != Device::Cpu {
        return images.shallow_clone();
    }
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests;
