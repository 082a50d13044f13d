//! Residual networks: GEM's ResNet-18 for small images, and ResNet-50.

use tch::Tensor;

use super::WeightShape;
use super::pass::Pass;

/// A residual network as its list of blocks.
#[derive(Clone, Debug)]
pub(super) struct Residual {
    channels: i64,
    /// Channels after the stem.
    stem: i64,
    /// The 7 × 7 stem of stride 2 with max pooling, for large images.
    large: bool,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    name: String,
    from: i64,
    /// Channels of its inner convolutions.
    inner: i64,
    to: i64,
    stride: i64,
    /// 1 × 1, 3 × 3, 1 × 1 instead of twice 3 × 3.
    bottleneck: bool,
}

impl Residual {
    /// Stages of 1, 2, 4 and 8 times `width` channels, two basic blocks each.
    pub(super) fn gem18(channels: usize, width: usize) -> Self {
        Self::of(channels, width as i64, false, [2, 2, 2, 2], 1)
    }

    /// Stages of 256, 512, 1024 and 2048 channels, 3, 4, 6 and 3 bottlenecks.
    pub(super) fn imagenet50(channels: usize) -> Self {
        Self::of(channels, 64, true, [3, 4, 6, 3], 4)
    }

    fn of(channels: usize, stem: i64, large: bool, depths: [usize; 4], expansion: i64) -> Self {
        let (mut blocks, mut from) = (Vec::new(), stem);
        for (stage, depth) in depths.into_iter().enumerate() {
            let inner = stem << stage;
            for place in 0..depth {
                let stride = if place == 0 && stage > 0 { 2 } else { 1 };
                let (name, to) = (format!("layer{}.{place}", stage + 1), inner * expansion);
                blocks.push(Block { name, from, inner, to, stride, bottleneck: expansion > 1 });
                from = to;
            }
        }
        Self { channels: channels as i64, stem, large, blocks }
    }

    pub(super) fn layers(&self, outputs: usize) -> Vec<WeightShape> {
        let side = if self.large { 7 } else { 3 };
        let filter =
            |name: String, to, from, side| WeightShape { name, shape: vec![to, from, side, side] };
        let mut layers = vec![filter("conv1".to_owned(), self.stem, self.channels, side)];
        for block in &self.blocks {
            let convolutions = block.convolutions();
            layers
                .extend(convolutions.map(|(name, to, from, side, _)| filter(name, to, from, side)));
            if let Some(name) = block.shortcut() {
                layers.push(filter(format!("{name}.0"), block.to, block.from, 1));
            }
        }
        let features = self.blocks.last().map_or(self.stem, |block| block.to);
        let head = if self.large { "fc" } else { "linear" };
        layers.push(WeightShape { name: head.to_owned(), shape: vec![outputs as i64, features] });
        layers
    }

    pub(super) fn norms(&self) -> Vec<(String, i64)> {
        let mut norms = vec![("bn1".to_owned(), self.stem)];
        for block in &self.blocks {
            let inner = block.convolutions().enumerate();
            norms.extend(inner.map(|(i, (_, to, ..))| (block.norm(i), to)));
            norms.extend(block.shortcut().map(|name| (format!("{name}.1"), block.to)));
        }
        norms
    }

    /// Images [B, C, H, W] to the mean over places [B, D].
    pub(super) fn features(&self, pass: &Pass<'_>, images: &Tensor) -> Tensor {
        let stem = pass.conv("conv1", images, if self.large { 2 } else { 1 });
        let mut x = pass.norm("bn1", &stem).relu();
        if self.large {
            x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        for block in &self.blocks {
            x = block.forward(pass, &x);
        }
        x.mean_dim(&[2_i64, 3][..], false, None)
    }
}

impl Block {
    /// Name, channels out and in, side and stride of each convolution on its way.
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

    /// What the input goes through where it is of another shape than the output.
    fn shortcut(&self) -> Option<String> {
        let name = if self.bottleneck { "downsample" } else { "shortcut" };
        (self.stride != 1 || self.from != self.to).then(|| format!("{}.{name}", self.name))
    }

    fn forward(&self, pass: &Pass<'_>, input: &Tensor) -> Tensor {
        let last = if self.bottleneck { 2 } else { 1 };
        let mut x = input.shallow_clone();
        for (i, (name, _, _, _, stride)) in self.convolutions().enumerate() {
            x = pass.norm(&self.norm(i), &pass.conv(&name, &x, stride));
            if i < last {
                x = x.relu();
            }
        }
        let beside = match self.shortcut() {
            Some(name) => {
                let thin = pass.conv(&format!("{name}.0"), input, self.stride);
                pass.norm(&format!("{name}.1"), &thin)
            }
            None => input.shallow_clone(),
        };
        (x + beside).relu()
    }
}
