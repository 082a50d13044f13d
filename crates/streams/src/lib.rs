//! Counter-based random streams: the same key gives the same numbers anywhere.
//!
//! A stream is ChaCha with eight rounds whose 256-bit key *is* the address
//! (run seed, purpose, epoch, sample). Nothing is shared between streams, so a
//! result cannot depend on threads, batch split, rank or resume.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The purpose of random numbers. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Purpose(u64);

impl Purpose {
    /// Which tokens of a sample are masked.
    pub const MASK: Self = Self::named("mask");
    /// How a sample is augmented.
    pub const AUGMENT: Self = Self::named("augment");
    /// In which order an epoch visits the samples.
    pub const SHUFFLE: Self = Self::named("shuffle");
    /// Initial values of parameters.
    pub const INIT: Self = Self::named("init");
    /// What an evaluation protocol draws (order, splits, heads).
    pub const EVALUATE: Self = Self::named("evaluate");

    /// Names a purpose of your own; equal names are equal purposes (FNV-1a).
    pub const fn named(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        Self(hash)
    }

    /// The hash of the name.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// The address of a random stream.
///
/// ```
/// use bauta_streams::{Purpose, StreamKey};
/// let key = StreamKey { seed: 7, purpose: Purpose::MASK, epoch: 3, sample: 41 };
/// assert_eq!(key.stream().uniform(), key.stream().uniform());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Seed of the run.
    pub seed: u64,
    /// What the numbers are for.
    pub purpose: Purpose,
    /// Epoch, or 0 where there is none.
    pub epoch: u64,
    /// Index of the sample in its source, or 0 where there is none.
    pub sample: u64,
}

impl StreamKey {
    /// Opens the stream at its beginning.
    pub fn stream(&self) -> RandomStream {
        let mut key = [0_u8; 32];
        for (part, word) in
            key.chunks_exact_mut(8).zip([self.seed, self.purpose.0, self.epoch, self.sample])
        {
            part.copy_from_slice(&word.to_le_bytes());
        }
        RandomStream(ChaCha8Rng::from_seed(key))
    }
}

/// Random numbers of one [`StreamKey`], in a fixed order on every machine.
#[derive(Clone, Debug)]
pub struct RandomStream(ChaCha8Rng);

impl RandomStream {
    /// Draws 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Draws a number uniform in [`low`, `high`), with 53 random bits. A number just below `high` can
    /// round to it, unless `low` is 0.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        low + (high - low) * unit
    }

    /// Draws a standard normal number (Box–Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform_in(0.0, 1.0)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform_in(0.0, 1.0)).cos()
    }

    /// Draws an integer uniform in 0..`bound` (exactly uniform: Lemire's rejection).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "below(0) has no value to draw");
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            let low = product as u64;
            // The first comparison spares nearly every call the division.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Shuffles `items` uniformly (Fisher–Yates, from the back).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u64, purpose: Purpose, epoch: u64, sample: u64) -> StreamKey {
        StreamKey { seed, purpose, epoch, sample }
    }

    /// Every mask, crop and split of every recorded run depends on these numbers.
    #[test]
    fn golden_values_never_change() {
        let mut stream = key(7, Purpose::MASK, 3, 41).stream();
        assert_eq!(stream.bits(), 14_785_666_578_123_014_737);
        assert_eq!(stream.uniform(), 0.891_829_2);
        assert_eq!(stream.uniform_in(-1.0, 3.0), 1.079_898_948_346_515_1);
        assert_eq!(stream.below(1000), 190);
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        stream.shuffle(&mut order);
        assert_eq!(order, [7, 3, 1, 4, 2, 5, 6, 0]);
        let purposes = [
            (Purpose::MASK, 0x15e4_c8f1_84a7_1d68),
            (Purpose::AUGMENT, 0xc551_0612_702c_d70a),
            (Purpose::SHUFFLE, 0xb035_65f5_4867_f0b6),
            (Purpose::INIT, 0xd2c3_fc15_334d_f1ab),
            (Purpose::EVALUATE, 0x10cb_10fb_0d48_87b2),
        ];
        for (purpose, first) in purposes {
            assert_eq!(key(0, purpose, 0, 0).stream().bits(), first);
        }
    }

    #[test]
    fn each_part_of_the_key_gives_another_stream() {
        let keys = [
            key(1, Purpose::MASK, 2, 3),
            key(2, Purpose::MASK, 1, 3),
            key(1, Purpose::AUGMENT, 2, 3),
            key(1, Purpose::MASK, 3, 2),
            key(1, Purpose::MASK, 2, 4),
        ];
        let mut firsts = keys.map(|key| key.stream().bits()).to_vec();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), keys.len());
    }

    #[test]
    fn neighbouring_streams_are_uncorrelated() {
        // 4,096 pairs: the correlation's standard deviation is 1/64.
        let draw = |sample| key(0, Purpose::MASK, 0, sample).stream().uniform_in(-1.0, 1.0);
        let product: f64 = (0..4096).map(|sample| draw(sample) * draw(sample + 1)).sum();
        let correlation = product / 4096.0 * 3.0;
        assert!(correlation.abs() < 5.0 / 64.0, "{correlation}");
    }

    #[test]
    fn ranges_hold_and_are_filled() {
        let mut stream = key(0, Purpose::named("test"), 0, 0).stream();
        let mut counts = [0_u32; 6];
        for _ in 0..6000 {
            assert!((0.0..1.0).contains(&stream.uniform()));
            assert!((-2.0..5.0).contains(&stream.uniform_in(-2.0, 5.0)));
            counts[stream.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(stream.below(1), 0);
    }

    #[test]
    fn equal_names_are_equal_purposes() {
        assert_eq!(Purpose::named("mask"), Purpose::MASK);
        // FNV-1a of "a", from its authors' test vectors.
        assert_eq!(Purpose::named("a"), Purpose(0xaf63_dc4c_8601_ec8c));
    }
}
