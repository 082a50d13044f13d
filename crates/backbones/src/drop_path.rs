//! Stochastic depth (Huang et al., arXiv 1603.09382): samples skip residual branches.
//!
//! The caller decides which samples skip which branch and passes that to the forward pass; a branch
//! that is kept is scaled up, so that its mean is unchanged.

use tch::{Device, Tensor};

/// The factors of every branch and sample: 0 to skip, 1 / (1 − rate) to keep.
#[derive(Debug)]
pub struct DropPath {
    /// [depth, 2, B, 1, 1]; for each block, attention and then MLP.
    factors: Tensor,
    /// Blocks before this one skip nothing.
    first: usize,
}

impl DropPath {
    /// The rate of each block, rising linearly from 0 to `rate` with depth, as in timm.
    pub fn rates(depth: usize, rate: f64) -> Vec<f64> {
        let last = depth.saturating_sub(1).max(1) as f64;
        (0..depth).map(|block| rate * block as f64 / last).collect()
    }

    /// Copies the factors, [depth, 2, B] row by row, to a device.
    ///
    /// # Panics
    /// When there are not `depth` · 2 · `batch` of them.
    pub fn new(factors: &[f32], depth: usize, batch: usize, device: Device) -> Self {
        assert_eq!(factors.len(), depth * 2 * batch, "factors of {depth} blocks, {batch} samples");
        let of_block = |block: usize| &factors[block * 2 * batch..(block + 1) * 2 * batch];
        let changes = |&block: &usize| of_block(block).iter().any(|&factor| factor != 1.0);
        let shape = [depth as i64, 2, batch as i64, 1, 1];
        Self {
            factors: Tensor::from_slice(factors).view(shape).to_device(device),
            first: (0..depth).find(changes).unwrap_or(depth),
        }
    }

    /// Factors [B, 1, 1] of a block's attention and MLP; `None` if all blocks so far skip nothing.
    pub(crate) fn of_block(&self, block: usize) -> Option<[Tensor; 2]> {
        let factors = || self.factors.get(block as i64);
        (block >= self.first).then(|| [factors().get(0), factors().get(1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encode, Parameters, VisionTransformer, VitConfig, tests::normal};

    #[test]
    fn rates_rise_linearly_with_depth() {
        assert_eq!(DropPath::rates(5, 0.2), [0.0, 0.05, 0.1, 0.150_000_000_000_000_02, 0.2]);
        assert_eq!(DropPath::rates(1, 0.2), [0.0]);
        assert!(DropPath::rates(0, 0.2).is_empty());
    }

    #[test]
    fn factors_of_one_change_nothing_and_of_zero_skip() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = VitConfig::new(8, 4, 16, 2, 2);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let images = normal("images", &[3, 3, 8, 8]);
        let drop = |factors: &[f32]| {
            let drop = DropPath::new(factors, 2, 3, Device::Cpu);
            encoder.encode(&images, Encode::whole().dropping(Some(&drop))).unwrap()
        };
        let whole = encoder.encode(&images, Encode::whole()).unwrap();
        assert_eq!(drop(&[1.0; 12]), whole);

        // The second sample skips both branches of both blocks, the others skip none.
        let skipping = [1.0, 0.0, 1.0].repeat(4);
        let found = drop(&skipping);
        let off = |sample| (found.get(sample) - whole.get(sample)).abs().max().double_value(&[]);
        assert!(off(0) < 1e-5 && off(2) < 1e-5, "{} {}", off(0), off(2));
        let mut shallow = Parameters::new(0, Device::Cpu);
        let no_blocks = VitConfig { depth: 0, ..config };
        let no_blocks = VisionTransformer::new(shallow.root(), &no_blocks).unwrap();
        let wanted = no_blocks.encode(&images, Encode::whole()).unwrap().get(1);
        assert!((found.get(1) - wanted).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_kept_branch_is_scaled() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = VitConfig::new(8, 4, 16, 1, 2).block();
        let block = crate::Block::new(parameters.root(), &config);
        let x = normal("x", &[1, 5, 16]);
        let drop = DropPath::new(&[2.0, 0.0], 1, 1, Device::Cpu);
        let found = block.forward_dropping(&x, drop.of_block(0).as_ref());
        let once = block.forward_dropping(&x, Some(&[Tensor::from(1.0_f32), Tensor::from(0_f32)]));
        let wanted = &x + (once - &x) * 2.0;
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-5);
    }
}
