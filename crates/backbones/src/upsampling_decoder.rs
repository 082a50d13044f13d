//! Transposed convolutions from a feature map back to frames, or to a spectrogram.

use tch::Tensor;

use crate::{BatchNorm, Init, Moments, Scope};

/// Sizes of an [`UpsamplingDecoder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpsamplingDecoderConfig {
    /// Channels of the feature map.
    pub features: usize,
    /// Channels after the first layer; each further layer has half as many, but at least 8.
    pub width: usize,
    /// Factors by which each layer enlarges time and space, 1 or 2, in the order of the layers; at
    /// least one pair.
    pub strides: Vec<[usize; 2]>,
    /// Channels of the frames.
    pub channels: usize,
}

/// Transposed convolutions, each but the last followed by normalisation.
#[derive(Debug)]
pub struct UpsamplingDecoder {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// [in, out, t, h, w].
    weight: Tensor,
    strides: [i64; 3],
    padding: [i64; 3],
    /// None in the last layer, which has a bias instead.
    norm: Option<BatchNorm>,
    bias: Option<Tensor>,
}

impl UpsamplingDecoder {
    /// Adds `0.weight`, `0.norm` and so on.
    ///
    /// # Panics
    /// When a size is 0, a stride is neither 1 nor 2, or there are no strides.
    pub fn new(mut scope: Scope<'_>, config: &UpsamplingDecoderConfig) -> Self {
        let UpsamplingDecoderConfig { features, width, ref strides, channels } = *config;
        assert!(
            !strides.is_empty() && features * width * channels > 0,
            "{config:?} must have at least one stride and no size of 0"
        );
        let last = strides.len() - 1;
        let mut inputs = features;
        let layers = strides.iter().enumerate().map(|(place, &[time, space])| {
            let outputs = if place == last { channels } else { (width >> place).max(8) };
            // Filters of side 4 enlarge by exactly 2, with an equal number of contributions to each
            // sample.
            let side = |stride: usize| match stride {
                1 => 1_i64,
                2 => 4,
                _ => panic!("a stride is 1 or 2, not {stride}"),
            };
            let sides = [side(time), side(space), side(space)];
            let shape = [&[inputs as i64, outputs as i64][..], &sides].concat();
            let taps = sides.iter().product::<i64>() / (time * space * space) as i64;
            let init = Init::Normal((2.0 / (inputs as i64 * taps) as f64).sqrt());
            inputs = outputs;
            let mut scope = scope.sub(place);
            Layer {
                weight: scope.add("weight", &shape, init),
                strides: [time, space, space].map(|stride| stride as i64),
                padding: sides.map(|side| side / 4),
                norm: (place < last).then(|| BatchNorm::new(scope.sub("norm"), outputs)),
                bias: (place == last)
                    .then(|| scope.add("bias", &[outputs as i64], Init::Constant(0.0))),
            }
        });
        Self { layers: layers.collect() }
    }

    /// Maps a feature map [B, D, T', H', W'] to frames [B, C, T, H, W] with the dimensions `sides`,
    /// cropped from the start of the output.
    ///
    /// # Panics
    /// When the map has another number of channels, or the output is smaller than `sides`.
    pub fn forward(&self, map: &Tensor, sides: [i64; 3], moments: Moments) -> Tensor {
        let mut x = map.shallow_clone();
        for Layer { weight, strides, padding, norm, bias } in &self.layers {
            let (none, one) = ([0_i64; 3], [1_i64; 3]);
            x = x.conv_transpose3d(weight, bias.as_ref(), *strides, *padding, none, 1, one);
            if let Some(norm) = norm {
                x = norm.forward(&x, moments).relu();
            }
        }
        let [time, height, width] = sides;
        x.narrow(2, 0, time).narrow(3, 0, height).narrow(4, 0, width)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Parameters, tests::normal};

    #[test]
    fn a_map_becomes_frames_of_any_size_that_it_covers() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = UpsamplingDecoderConfig {
            features: 16,
            width: 16,
            strides: vec![[2, 2], [1, 2], [1, 2]],
            channels: 3,
        };
        let decoder = UpsamplingDecoder::new(parameters.root(), &config);
        let map = normal("map", &[2, 16, 2, 2, 3]);
        let moments = Moments::Batch { splits: 1 };
        assert_eq!(decoder.forward(&map, [4, 16, 24], moments).size(), [2, 3, 4, 16, 24]);
        assert_eq!(decoder.forward(&map, [3, 16, 19], moments).size(), [2, 3, 3, 16, 19]);
        let names: Vec<&str> = parameters.trainable().map(|p| p.name.as_str()).collect();
        assert_eq!(names.last(), Some(&"2.bias"));
    }
}
