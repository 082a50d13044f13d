//! Residual networks (He et al., arXiv 1512.03385) as lists of blocks, without weights: the common
//! part of [`crate::BareNetwork`] and [`crate::ResNet`].

use tch::Tensor;

use crate::WeightShape;

/// The layers of one pass, by name.
pub(crate) trait Layers {
    /// Maps [B, in, H, W] to [B, out, …], padded so that the filter's centre stays on the image.
    fn conv(&self, name: &str, x: &Tensor, stride: i64) -> Tensor;

    /// Batch normalisation of [B, C, H, W].
    fn norm(&self, name: &str, x: &Tensor) -> Tensor;
}

/// The convolution of x [B, in, H, W] with a square filter [out, in, side, side], padded so that
/// its centre stays on the image.
pub(crate) fn convolve(x: &Tensor, filter: &Tensor, stride: i64) -> Tensor {
    let [outputs, inputs, side] = [0, 1, 2].map(|dim| filter.size()[dim]);
    let by_eights = outputs % 8 == 0 && inputs % 8 == 0;
    if side == 1 && stride > 1 && !by_eights {
        // oneDNN's kernel for strided 1 × 1 filters on AVX2 writes out of bounds in the backward
        // pass if the channels are not a multiple of 8. Slicing selects the pixels that it would
        // read.
        let read = x.slice(2, None, None, stride).slice(3, None, None, stride);
        return read.conv2d(filter, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    }
    x.conv2d(filter, None::<Tensor>, [stride; 2], [side / 2; 2], [1, 1], 1)
}

/// The options of a residual network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Channels of an image.
    pub channels: usize,
    /// Channels after the stem; each further stage has twice as many.
    pub width: usize,
    /// Whether the stem is a 7 × 7 convolution of stride 2 with max pooling, for large images;
    /// otherwise it is only a 3 × 3 convolution.
    pub large: bool,
    /// Blocks of each stage.
    pub depths: [usize; 4],
    /// Whether blocks are 1 × 1, 3 × 3 and 1 × 1 convolutions with four times the channels at the
    /// end, instead of two 3 × 3 convolutions.
    pub bottleneck: bool,
    /// The name of the projection on the shortcut where input and output differ in shape.
    pub shortcut: &'static str,
}

/// A residual network as its list of blocks.
#[derive(Clone, Debug)]
pub(crate) struct Residual {
    channels: i64,
    stem: i64,
    large: bool,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    name: String,
    /// Whether it is the last block of its stage.
    last: bool,
    from: i64,
    /// Channels of its inner convolutions.
    inner: i64,
    to: i64,
    stride: i64,
    bottleneck: bool,
    shortcut: &'static str,
}

impl Residual {
    pub(crate) fn new(shape: Shape) -> Self {
        let Shape { channels, width, large, depths, bottleneck, shortcut } = shape;
        let stem = width as i64;
        let (mut blocks, mut from) = (Vec::new(), stem);
        for (stage, depth) in depths.into_iter().enumerate() {
            let inner = stem << stage;
            for place in 0..depth {
                let stride = if place == 0 && stage > 0 { 2 } else { 1 };
                let name = format!("layer{}.{place}", stage + 1);
                let to = if bottleneck { 4 * inner } else { inner };
                let last = place + 1 == depth;
                blocks.push(Block { name, last, from, inner, to, stride, bottleneck, shortcut });
                from = to;
            }
        }
        Self { channels: channels as i64, stem, large, blocks }
    }

    /// Width of the features, D.
    pub(crate) fn features_dim(&self) -> i64 {
        self.blocks.last().map_or(self.stem, |block| block.to)
    }

    /// Channels and stride in pixels of each stage's feature map.
    pub(crate) fn stages(&self) -> Vec<[usize; 2]> {
        let mut stride = if self.large { 4 } else { 1 };
        let mut stages = Vec::new();
        for block in &self.blocks {
            stride *= block.stride as usize;
            if block.last {
                stages.push([block.to as usize, stride]);
            }
        }
        stages
    }

    /// The convolutions, in order from the image.
    pub(crate) fn layers(&self) -> Vec<WeightShape> {
        let filter =
            |name: String, to, from, side| WeightShape { name, shape: vec![to, from, side, side] };
        let side = self.stem_sides().0;
        let mut layers = vec![filter("conv1".to_owned(), self.stem, self.channels, side)];
        for block in &self.blocks {
            let convolutions = block.convolutions();
            layers
                .extend(convolutions.map(|(name, to, from, side, _)| filter(name, to, from, side)));
            if let Some(name) = block.shortcut() {
                layers.push(filter(format!("{name}.0"), block.to, block.from, 1));
            }
        }
        layers
    }

    /// The batch normalisations and their channels, in the order of a pass.
    pub(crate) fn norms(&self) -> Vec<(String, i64)> {
        let mut norms = vec![("bn1".to_owned(), self.stem)];
        for block in &self.blocks {
            let inner = block.convolutions().enumerate();
            norms.extend(inner.map(|(i, (_, to, ..))| (block.norm(i), to)));
            norms.extend(block.shortcut().map(|name| (format!("{name}.1"), block.to)));
        }
        norms
    }

    /// Maps images [B, C, H, W] to the feature map [B, D, H', W'] of each stage.
    pub(crate) fn maps(&self, layers: &impl Layers, images: &Tensor) -> Vec<Tensor> {
        let stem = layers.conv("conv1", images, self.stem_sides().1);
        let mut x = layers.norm("bn1", &stem).relu();
        if self.large {
            x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        let mut maps = Vec::new();
        for block in &self.blocks {
            x = block.forward(layers, &x);
            if block.last {
                maps.push(x.shallow_clone());
            }
        }
        maps
    }

    /// Maps images [B, C, H, W] to the last feature map [B, D, H', W'].
    pub(crate) fn map(&self, layers: &impl Layers, images: &Tensor) -> Tensor {
        self.maps(layers, images).pop().expect("there are four stages")
    }

    /// Maps images [B, C, H, W] to the mean over positions [B, D].
    pub(crate) fn features(&self, layers: &impl Layers, images: &Tensor) -> Tensor {
        self.map(layers, images).mean_dim(&[2_i64, 3][..], false, None)
    }

    /// Multiplications and output values of each convolution for one image of this size, the stem's
    /// first.
    pub(crate) fn convolution_sizes(&self, height: usize, width: usize) -> Vec<[u64; 2]> {
        let sizes = |filter: i64, outputs: i64, [height, width]: [i64; 2]| {
            [filter * outputs * height * width, outputs * height * width].map(|size| size as u64)
        };
        let halved = |sides: [i64; 2], stride| sides.map(|side| (side + stride - 1) / stride);
        let (side, stride) = self.stem_sides();
        let mut sides = halved([height as i64, width as i64], stride);
        let mut found = vec![sizes(self.channels * side * side, self.stem, sides)];
        if self.large {
            sides = halved(sides, 2);
        }
        for block in &self.blocks {
            let entered = sides;
            for (_, to, from, side, stride) in block.convolutions() {
                sides = halved(sides, stride);
                found.push(sizes(from * side * side, to, sides));
            }
            if block.shortcut().is_some() {
                found.push(sizes(block.from, block.to, halved(entered, block.stride)));
            }
        }
        found
    }

    /// Side and stride of the stem's filters.
    fn stem_sides(&self) -> (i64, i64) {
        if self.large { (7, 2) } else { (3, 1) }
    }
}

impl Block {
    /// Name, output and input channels, side and stride of each of its convolutions.
    fn convolutions(&self) -> impl Iterator<Item = (String, i64, i64, i64, i64)> {
        let Self { from, inner, to, stride, .. } = *self;
        let sides = match self.bottleneck {
            true => vec![(inner, from, 1, 1), (inner, inner, 3, stride), (to, inner, 1, 1)],
            false => vec![(inner, from, 3, stride), (to, inner, 3, 1)],
        };
        let named = move |(i, (to, from, side, stride)): (usize, _)| {
            (format!("{}.conv{}", self.name, i + 1), to, from, side, stride)
        };
        sides.into_iter().enumerate().map(named)
    }

    fn norm(&self, place: usize) -> String {
        format!("{}.bn{}", self.name, place + 1)
    }

    /// The projection on the shortcut, if input and output differ in shape.
    fn shortcut(&self) -> Option<String> {
        (self.stride != 1 || self.from != self.to)
            .then(|| format!("{}.{}", self.name, self.shortcut))
    }

    fn forward(&self, layers: &impl Layers, input: &Tensor) -> Tensor {
        let last = if self.bottleneck { 2 } else { 1 };
        let mut x = input.shallow_clone();
        for (i, (name, _, _, _, stride)) in self.convolutions().enumerate() {
            x = layers.norm(&self.norm(i), &layers.conv(&name, &x, stride));
            if i < last {
                x = x.relu();
            }
        }
        let beside = match self.shortcut() {
            Some(name) => {
                let thin = layers.conv(&format!("{name}.0"), input, self.stride);
                layers.norm(&format!("{name}.1"), &thin)
            }
            None => input.shallow_clone(),
        };
        (x + beside).relu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::normal;

    #[test]
    fn strided_filters_of_one_pixel_are_the_convolution_for_any_channels() {
        for (inputs, outputs, height) in [(4, 8, 8), (3, 5, 7), (8, 16, 6)] {
            let x = normal("x", &[2, inputs, height, 9]);
            let filter = normal("filter", &[outputs, inputs, 1, 1]);
            let wanted = x.conv2d(&filter, None::<Tensor>, [2, 2], [0, 0], [1, 1], 1);
            let off = (convolve(&x, &filter, 2) - wanted).abs().max().double_value(&[]);
            assert!(off < 1e-5, "{inputs} channels: off by {off}");
        }
    }
}
