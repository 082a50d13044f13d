//! Networks without their own weights, which are arguments of each pass.
//!
//! No layer has a bias and no normalisation a scale or shift, so a network is fully given by its
//! weights: a subnetwork is the same network with some of them set to zero (ExSSNeT, arXiv
//! 2210.10209; configurations as in its released code). Batch normalisation takes its statistics as
//! an argument too, so each task can have its own.

mod mlp;
mod pass;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use self::pass::Mode;
use self::pass::Pass;
pub use self::statistics::RunningStatistics;
use crate::ModelError;
use crate::residual::{Residual, Shape};

/// Weights by the names of their layers, such as `layer1.0.conv1`.
pub type Weights = BTreeMap<String, Tensor>;

/// Name and shape of a layer's weight: `[out, in]` for a linear layer, `[out, in, height, width]`
/// for a convolution, `[out, in, length]` for a convolution over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// The layer's name, without `.weight`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<i64>,
}

impl WeightShape {
    /// Number of weights, n.
    pub fn count(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    /// Fan-in: all dimensions but the first.
    pub fn fan_in(&self) -> usize {
        self.shape[1..].iter().product::<i64>() as usize
    }
}

/// Architecture and input size of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BareConfig {
    /// Linear layers with ReLU between them, no normalisation; the released code's "LeNet" is
    /// 784–300–100–c.
    Mlp {
        /// Values of one flattened input.
        inputs: usize,
        /// Widths of the hidden layers.
        hidden: Vec<usize>,
    },
    /// GEM's ResNet-18 for small images: a 3 × 3 stem, four stages of two basic blocks.
    #[serde(rename = "resnet18")]
    ResNet18 {
        /// Channels of an image.
        channels: usize,
        /// Channels of the first stage, 20 in GEM; each further stage has twice as many.
        width: usize,
    },
    /// ResNet-50: a 7 × 7 stem of stride 2, max pooling, 3-4-6-3 bottlenecks.
    #[serde(rename = "resnet50")]
    ResNet50 {
        /// Channels of an image.
        channels: usize,
    },
    /// Convolutions of several lengths over a text's features, ReLU, then the maximum over time.
    TextCnn {
        /// Width of a token's features.
        dim: usize,
        /// Filters of each length.
        filters: usize,
        /// The lengths, in tokens.
        lengths: Vec<usize>,
    },
}

/// The result of a pass.
#[derive(Debug)]
pub struct BareOutput {
    /// The head's input [B, D]; for the MLP before the last ReLU, for others after pooling.
    pub features: Tensor,
    /// The head's output [B, outputs].
    pub logits: Tensor,
}

/// A network without weights of its own.
#[derive(Clone, Debug)]
pub struct BareNetwork {
    config: BareConfig,
    layers: Vec<WeightShape>,
    /// Batch normalisations and their channels.
    norms: Vec<(String, i64)>,
    residual: Option<Residual>,
}

impl BareNetwork {
    /// Lays out the layers of a network with `outputs` logits.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is 0.
    pub fn new(config: BareConfig, outputs: usize) -> Result<Self, ModelError> {
        let zero = |sides: &[usize]| outputs == 0 || sides.contains(&0);
        let residual = match &config {
            BareConfig::ResNet18 { channels, width } => Some(gem18(*channels, *width)),
            BareConfig::ResNet50 { channels } => Some(imagenet50(*channels)),
            _ => None,
        };
        let of_residual = |head: &str| {
            let residual = residual.as_ref().expect("it was laid out above");
            let shape = vec![outputs as i64, residual.features_dim()];
            let head = WeightShape { name: head.to_owned(), shape };
            residual.layers().into_iter().chain([head]).collect()
        };
        let (refused, layers) = match &config {
            BareConfig::Mlp { inputs, hidden } => {
                (zero(hidden) || *inputs == 0, mlp::layers(*inputs, hidden, outputs))
            }
            BareConfig::ResNet18 { channels, width } => {
                (zero(&[*channels, *width]), of_residual("linear"))
            }
            BareConfig::ResNet50 { channels } => (zero(&[*channels]), of_residual("fc")),
            BareConfig::TextCnn { dim, filters, lengths } => {
                let refused = zero(lengths) || zero(&[*dim, *filters]) || lengths.is_empty();
                (refused, text::layers(*dim, *filters, lengths, outputs))
            }
        };
        if refused {
            let text = format!("no side may be 0: {config:?} with {outputs} outputs");
            return Err(ModelError::Config(text));
        }
        let norms = residual.as_ref().map(Residual::norms).unwrap_or_default();
        Ok(Self { config, layers, norms, residual })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &BareConfig {
        &self.config
    }

    /// Its layers, from input to output.
    pub fn layers(&self) -> &[WeightShape] {
        &self.layers
    }

    /// Number of weights in all layers.
    pub fn count(&self) -> usize {
        self.layers.iter().map(WeightShape::count).sum()
    }

    /// The names and channels of its batch normalisations.
    pub fn norms(&self) -> &[(String, i64)] {
        &self.norms
    }

    /// One pass of images [B, C, H, W], or of texts' features [B, T, D].
    ///
    /// In [`Mode::Training`], batches are normalised by their own moments, which also update
    /// `statistics`.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the input is of another shape.
    ///
    /// # Panics
    /// When `weights` or `statistics` are those of another network.
    pub fn forward(
        &self,
        input: &Tensor,
        weights: &Weights,
        statistics: &RunningStatistics,
        mode: Mode,
    ) -> Result<BareOutput, ModelError> {
        self.check(input)?;
        let pass = Pass { weights, statistics, mode };
        let features = match (&self.config, &self.residual) {
            (BareConfig::Mlp { hidden, .. }, _) => mlp::features(&pass, input, hidden.len()),
            (BareConfig::TextCnn { lengths, .. }, _) => text::features(&pass, input, lengths.len()),
            (_, Some(residual)) => residual.features(&pass, input),
            _ => unreachable!("images go through an MLP or a residual network"),
        };
        let seen = match &self.config {
            BareConfig::Mlp { hidden, .. } if !hidden.is_empty() => features.relu(),
            _ => features.shallow_clone(),
        };
        let head = &self.layers.last().expect("a network has a head").name;
        Ok(BareOutput { features, logits: pass.linear(head, &seen) })
    }

    fn check(&self, input: &Tensor) -> Result<(), ModelError> {
        let size = input.size();
        let (fits, expected) = match &self.config {
            BareConfig::Mlp { inputs, .. } => {
                let values = size.iter().skip(1).product::<i64>();
                (size.len() > 1 && values == *inputs as i64, format!("[B, …] of {inputs} values"))
            }
            BareConfig::ResNet18 { channels, .. } | BareConfig::ResNet50 { channels } => {
                let fits = size.len() == 4 && size[1] == *channels as i64;
                (fits, format!("[B, {channels}, H, W]"))
            }
            BareConfig::TextCnn { dim, lengths, .. } => {
                let longest = lengths.iter().max().copied().unwrap_or(1);
                let fits = size.len() == 3 && size[2] == *dim as i64 && size[1] >= longest as i64;
                (fits, format!("[B, {longest} tokens or more, {dim}]"))
            }
        };
        if fits {
            Ok(())
        } else {
            Err(ModelError::Shape { what: "the input", found: size, expected })
        }
    }
}

/// Stages of 1, 2, 4 and 8 times `width` channels, two basic blocks each.
fn gem18(channels: usize, width: usize) -> Residual {
    let (depths, shortcut) = ([2, 2, 2, 2], "shortcut");
    Residual::new(Shape { channels, width, large: false, depths, bottleneck: false, shortcut })
}

/// Stages of 256, 512, 1024 and 2048 channels, 3, 4, 6 and 3 bottlenecks.
fn imagenet50(channels: usize) -> Residual {
    let (depths, shortcut) = ([3, 4, 6, 3], "downsample");
    Residual::new(Shape { channels, width: 64, large: true, depths, bottleneck: true, shortcut })
}
