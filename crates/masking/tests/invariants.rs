//! Properties of every mask: the invariants 1, 2 and 12 of the MAE sheet, the reference's numbers,
//! and independence of threads and batches.

use std::collections::BTreeSet;

use bauta_masking::{BlockMask, Grid, MaskError, MaskPlan, MaskStrategy, Strategy, visible_count};

use bauta_streams::{Purpose, RandomStream, StreamKey};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use strum::VariantArray;

/// Checks what a plan promises, and that un-shuffling undoes shuffling.
fn check(plan: &MaskPlan) {
    let (tokens, visible) = (plan.tokens(), plan.visible_count());
    assert_eq!(visible + plan.masked_count(), tokens);
    assert_eq!(plan.visible().len(), plan.samples() * visible);
    assert_eq!(plan.masked().len(), plan.samples() * plan.masked_count());
    assert_eq!(plan.restore().len(), plan.samples() * tokens);
    let mask = plan.mask();
    for sample in 0..plan.samples() {
        let order = order(plan, sample);
        let restore = &plan.restore()[sample * tokens..][..tokens];
        let mask = &mask[sample * tokens..][..tokens];
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..tokens as i64), "a permutation: {order:?}");
        for token in 0..tokens {
            assert_eq!(order[restore[token] as usize], token as i64, "restore is the inverse");
        }
        assert!(order[..visible].iter().all(|&token| mask[token as usize] == 0.0));
        assert_eq!(mask.iter().sum::<f32>(), plan.masked_count() as f32);
    }
}

/// Checks that a plan masks what the ratio says: exactly, or, on a regular grid, whose ratio can be
/// given rounded, within that rounding.
fn check_count(plan: &MaskPlan, name: Strategy, grid: Grid, ratio: f64) {
    let places = grid.step().tokens();
    let visible = match name {
        Strategy::Grid => {
            let masked = plan.masked_count() as f64 / plan.tokens() as f64;
            assert!((masked - ratio).abs() < 5e-4, "{masked} of the tokens masked, not {ratio}");
            return;
        }
        Strategy::Tube => {
            grid.time() * visible_count(places, ratio).expect("a ratio that the grid meets")
        }
        Strategy::Frame => {
            places * visible_count(grid.time(), ratio).expect("a ratio that the grid meets")
        }
        _ => visible_count(grid.tokens(), ratio).expect("a ratio that the grid meets"),
    };
    assert_eq!(plan.visible_count(), visible);
}

/// The reference's `ids_shuffle` of one sample.
fn order(plan: &MaskPlan, sample: usize) -> Vec<i64> {
    let part = |indices: &[i64], count| indices[sample * count..][..count].to_vec();
    let mut order = part(plan.visible(), plan.visible_count());
    order.extend(part(plan.masked(), plan.masked_count()));
    order
}

/// A strategy on a grid of an image or a clip, of up to 6 × 18 × 18 tokens, with a ratio that it
/// can meet: the drawn one, or one that few grids refuse.
fn arbitrary_strategy() -> impl Generator<Value = (Strategy, Grid, f64)> {
    let time = prop_oneof![Just(1_usize), 2_usize..=6];
    let sides = (time, 1_usize..=9, 1_usize..=9, 0.01_f64..0.99);
    let any = prop::sample::select(Strategy::VARIANTS.to_vec());
    (any, sides).prop_filter_map("the ratio leaves a token on each side", |(name, sides)| {
        let (time, height, width, ratio) = sides;
        // The last is for strategies that need several time steps.
        let grids = [(time, height, width), (time, 2 * height, 2 * width), (4, height, width)];
        let grids = grids.map(|(time, height, width)| {
            Grid::new(time, height, width).expect("sides of one token at least")
        });
        let tries = grids.into_iter().flat_map(|grid| [ratio, 0.75, 0.5].map(|r| (grid, r)));
        let (grid, ratio) = tries.into_iter().find(|&(grid, r)| name.build(grid, r).is_ok())?;
        Some((name, grid, ratio))
    })
}

/// 8 × 8 tokens, of an image or of a clip with four steps, and a ratio that the strategy can
/// meet on them.
fn possible(name: Strategy) -> (Grid, f64) {
    let grids = [Grid::image(8, 8), Grid::new(4, 4, 4)].map(|grid| grid.expect("tokens"));
    let tries = grids.into_iter().flat_map(|grid| [0.75, 0.5, 0.25].map(|ratio| (grid, ratio)));
    let met = tries.into_iter().find(|&(grid, ratio)| name.build(grid, ratio).is_ok());
    met.unwrap_or_else(|| panic!("{name} masks neither 75, 50 nor 25 % of 8 × 8 tokens"))
}

/// Rows of noise full of ties, both zeros, infinities and NaN.
fn arbitrary_noise() -> impl Generator<Value = (usize, Vec<f32>)> {
    let hard = prop::sample::select(vec![0.0, -0.0, f32::NAN, -f32::NAN, 0.5, -0.5, f32::INFINITY]);
    let value = prop_oneof![3 => 0.0_f32..1.0, 1 => hard];
    (1_usize..5, 2_usize..40).prop_flat_map(move |(samples, tokens)| {
        (Just(samples), prop::collection::vec(value.clone(), samples * tokens))
    })
}

#[test]
fn a_rounded_ratio_of_a_regular_grid_means_its_cells() {
    let (grid, ratio) = (Grid::image(2, 2).unwrap(), 0.7504850104367894);
    let plan = MaskPlan::draw(&*Strategy::Grid.build(grid, ratio).unwrap(), 0, 0, &[0]).unwrap();
    check(&plan);
    check_count(&plan, Strategy::Grid, grid, ratio);
    assert_eq!(plan.visible_count(), 1);
}

proptest! {
    #[test]
    fn drawn_plans_keep_their_promises(
        (name, grid, ratio) in arbitrary_strategy(),
        seed: u64,
        epoch: u64,
        samples in prop::collection::vec(any::<u64>(), 0..20),
    ) {
        let strategy = name.build(grid, ratio).unwrap();
        let plan = MaskPlan::draw(&*strategy, seed, epoch, &samples).unwrap();
        check(&plan);
        if !samples.is_empty() {
            check_count(&plan, name, grid, ratio);
        }
        // Both lists ascend, so a plan is its masks and nothing else.
        let masks: Vec<bool> = plan.mask().iter().map(|&masked| masked == 1.0).collect();
        prop_assert_eq!(plan, MaskPlan::from_masks(&masks, grid.tokens()).unwrap());
    }

    #[test]
    fn any_split_of_a_batch_gives_the_same_masks(
        (name, grid, ratio) in arbitrary_strategy(),
        samples in prop::collection::vec(any::<u64>(), 2..20),
        cut in 1_usize..19,
    ) {
        let strategy = name.build(grid, ratio).unwrap();
        let mask = |samples: &[u64]| MaskPlan::draw(&*strategy, 1, 2, samples).unwrap().mask();
        let (head, tail) = samples.split_at(cut.min(samples.len()));
        prop_assert_eq!(mask(&samples), [mask(head), mask(tail)].concat());
    }

    #[test]
    fn noise_is_ordered_as_a_stable_sort_orders_it((samples, noise) in arbitrary_noise()) {
        let tokens = noise.len() / samples;
        let plan = MaskPlan::from_noise(&noise, samples, 0.5).unwrap();
        check(&plan);
        for (sample, noise) in noise.chunks(tokens).enumerate() {
            let mut expected: Vec<i64> = (0..tokens as i64).collect();
            expected.sort_by(|&a, &b| {
                let (a, b) = (noise[a as usize], noise[b as usize]);
                a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            });
            prop_assert_eq!(order(&plan, sample), expected);
        }
    }

    #[test]
    fn counts_truncate_in_double_precision(tokens in 1_usize..5000, ratio in 0.0_f64..=1.0) {
        let expected = (tokens as f64 * (1.0 - ratio)).floor() as usize;
        match visible_count(tokens, ratio) {
            Ok(visible) => prop_assert_eq!(visible, expected),
            Err(MaskError::Ratio(_)) => prop_assert!(ratio == 0.0 || ratio == 1.0),
            Err(error) => prop_assert!(expected == 0 || expected == tokens, "{error}"),
        }
    }
}

#[test]
fn the_reference_keeps_these_counts() {
    let of_196 = [
        (0.1, 176),
        (0.2, 156),
        (0.3, 137),
        (0.4, 117),
        (0.5, 98),
        (0.6, 78),
        (0.7, 58),
        (0.75, 49),
        (0.8, 39),
        (0.9, 19),
    ];
    for (ratio, visible) in of_196 {
        assert_eq!(visible_count(196, ratio), Ok(visible), "ratio {ratio}");
    }
    assert_eq!(visible_count(256, 0.75), Ok(64));
    assert_eq!(visible_count(100, 0.9), Ok(9), "10 in single precision");
}

#[test]
fn the_worked_example_comes_out() {
    let noise = [0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4];
    let masks = [
        (0.75, [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
        (0.5, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
        (0.6, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]),
    ];
    for (ratio, mask) in masks {
        let plan = MaskPlan::from_noise(&noise, 1, ratio).unwrap();
        check(&plan);
        assert_eq!(order(&plan, 0), [1, 5, 3, 7, 2, 4, 6, 0]);
        assert_eq!(plan.restore(), [7, 0, 4, 2, 5, 1, 6, 3]);
        assert_eq!(plan.mask(), mask, "ratio {ratio}");
    }
    // The reference continues with K = 0, without a division by zero.
    let nothing_seen = MaskPlan::from_noise(&noise, 1, 0.9).unwrap_err();
    let degenerate = MaskError::Degenerate { ratio: 0.9, tokens: 8, visible: 0, masked: 8 };
    assert_eq!(nothing_seen, degenerate);
}

#[test]
fn zeros_of_both_signs_tie_and_nan_comes_last() {
    let noise = [f32::NAN, 0.0, -0.0, f32::INFINITY, 0.0, -f32::NAN, -1.0, f32::NEG_INFINITY];
    let plan = MaskPlan::from_noise(&noise, 1, 0.5).unwrap();
    assert_eq!(order(&plan, 0), [7, 6, 1, 2, 4, 3, 0, 5]);
}

#[test]
fn each_token_is_seen_as_often_as_the_count_says() {
    let samples: Vec<u64> = (0..4000).collect();
    for (name, ratio) in [(Strategy::Random, 0.6), (Strategy::Random, 0.3), (Strategy::Grid, 0.75)]
    {
        let strategy = name.build(Grid::image(8, 8).unwrap(), ratio).unwrap();
        let plan = MaskPlan::draw(&*strategy, 0, 0, &samples).unwrap();
        let mut seen = [0.0; 64];
        plan.visible().iter().for_each(|&token| seen[token as usize] += 1.0);
        let p = plan.visible_count() as f64 / 64.0;
        let deviation = (4000.0 * p * (1.0 - p)).sqrt();
        for (token, seen) in seen.into_iter().enumerate() {
            let z = (seen - 4000.0 * p) / deviation;
            assert!(z.abs() < 5.0, "{} sees token {token} {seen} times", name);
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let samples: Vec<u64> = (0..300).collect();
    let mut stream = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample: 0 }.stream();
    let noise: Vec<f32> = (0..300 * 64).map(|_| stream.uniform()).collect();
    for &name in Strategy::VARIANTS {
        let (grid, ratio) = possible(name);
        let strategy = name.build(grid, ratio).unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let drawn = MaskPlan::draw(&*strategy, 5, 1, &samples).unwrap();
                (drawn, MaskPlan::from_noise(&noise, 300, 0.75).unwrap())
            })
        };
        let one = on(1);
        check(&one.0);
        check(&one.1);
        assert!(on(2) == one && on(7) == one, "{}", name);
    }
}

#[test]
fn seed_epoch_and_sample_each_change_the_stream_that_a_mask_is_drawn_from() {
    // With a strategy that has many masks, equal streams would show.
    let strategy = Strategy::Random.build(Grid::image(14, 14).unwrap(), 0.75).unwrap();
    let distinct = |seeds: u64, epochs: u64, samples: u64| {
        let mut masks = BTreeSet::new();
        for (seed, epoch) in (0..seeds).flat_map(|s| (0..epochs).map(move |e| (s, e))) {
            let samples: Vec<u64> = (0..samples).collect();
            let plan = MaskPlan::draw(&*strategy, seed, epoch, &samples).unwrap();
            masks.extend(plan.visible().chunks(49).map(<[i64]>::to_vec));
        }
        masks.len()
    };
    assert_eq!(distinct(40, 1, 1), 40, "by seed");
    assert_eq!(distinct(1, 40, 1), 40, "by epoch");
    assert_eq!(distinct(1, 1, 40), 40, "by sample");
}

#[test]
fn a_mask_depends_on_its_stream_alone() {
    for &name in Strategy::VARIANTS {
        let (grid, ratio) = possible(name);
        let (strategy, again) =
            (name.build(grid, ratio).unwrap(), name.build(grid, ratio).unwrap());
        for sample in 0..100 {
            let key = StreamKey { seed: 3, purpose: Purpose::MASK, epoch: 1, sample };
            let (mut over_true, mut over_false) = (vec![true; 64], vec![false; 64]);
            strategy.draw(&mut key.stream(), &mut over_true);
            again.draw(&mut key.stream(), &mut over_false);
            assert_eq!(over_true, over_false, "{name}, sample {sample}");
        }
    }
}

/// Recorded runs resume to identical weights only while these stay as they are.
#[test]
fn golden_masks_never_change() {
    let golden = [
        (Strategy::Random, [0xd97f_u16, 0x6bbf, 0xd7f5, 0xefae]),
        (Strategy::Block, [0x7f73, 0x777e, 0xeeee, 0x8eff]),
        (Strategy::Grid, [0x5f5f, 0x5f5f, 0x5f5f, 0xf5f5]),
        (Strategy::Tube, [0xd97f_u16, 0x6bbf, 0xd7f5, 0xefae]),
    ];
    for (name, expected) in golden {
        let strategy = name.build(Grid::image(4, 4).unwrap(), 0.75).unwrap();
        let plan = MaskPlan::draw(&*strategy, 7, 3, &[41, 42, 43, 44]).unwrap();
        let bits = |row: &[f32]| row.iter().rev().fold(0, |bits, &m| bits << 1 | m as u16);
        let found: Vec<u16> = plan.mask().chunks(16).map(bits).collect();
        assert_eq!(found, expected, "{}", name);
    }
}

#[test]
fn unequal_counts_are_refused() {
    let masks = [true, false, false, true, true, false];
    let refused = MaskPlan::from_masks(&masks, 3).unwrap_err();
    assert_eq!(refused, MaskError::UnequalCounts { sample: 1, found: 2, expected: 1 });

    let at_most = BlockMask::at_most(Grid::image(14, 14).unwrap(), 0.4).unwrap();
    let samples: Vec<u64> = (0..256).collect();
    let refused = MaskPlan::draw(&at_most, 0, 0, &samples);
    assert!(matches!(refused, Err(MaskError::UnequalCounts { .. })));
}

#[test]
fn hostile_input_is_named() {
    for ratio in [0.0, 1.0, -0.5, 1.2, f64::NAN, f64::INFINITY] {
        let refused = visible_count(196, ratio).unwrap_err().to_string();
        assert_eq!(refused, format!("ratio {ratio} must be in (0, 1)"));
    }
    assert!(matches!(visible_count(196, 0.999), Err(MaskError::Degenerate { visible: 0, .. })));
    assert!(matches!(visible_count(4, 1e-17), Err(MaskError::Degenerate { masked: 0, .. })));
    assert!(matches!(visible_count(0, 0.5), Err(MaskError::Degenerate { tokens: 0, .. })));

    let length = |noise: &[f32], samples| MaskPlan::from_noise(noise, samples, 0.5).unwrap_err();
    let refused = length(&[0.0; 7], 2);
    assert_eq!(refused, MaskError::NoiseLength { found: 7, samples: 2, tokens: 3 });
    assert!(matches!(length(&[0.0; 7], 0), MaskError::NoiseLength { .. }));
    assert!(matches!(length(&[], 3), MaskError::Degenerate { .. }));
    assert!(MaskPlan::from_masks(&[true; 5], 0).is_err());
    assert!(MaskPlan::from_masks(&[true; 5], 2).is_err());
    assert!(matches!(MaskPlan::from_masks(&[true; 4], 2), Err(MaskError::Degenerate { .. })));

    assert!(matches!(Grid::new(0, 4, 4), Err(MaskError::EmptyGrid { .. })));
    let refused = Grid::of_image(32, 30, 4).unwrap_err().to_string();
    assert!(
        refused.starts_with("an image of 32 × 30 pixels is not a multiple of the patch size 4")
    );
    assert!(matches!(Grid::of_image(32, 32, 0), Err(MaskError::PatchSize { .. })));
}

#[test]
fn a_strategy_of_ones_own_needs_only_the_trait() {
    struct Stripes(Grid);
    impl MaskStrategy for Stripes {
        fn grid(&self) -> Grid {
            self.0
        }
        fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
            let parity = stream.below(2) as usize;
            mask.iter_mut().enumerate().for_each(|(token, masked)| *masked = token % 2 == parity);
        }
    }
    let plan = MaskPlan::draw(&Stripes(Grid::new(2, 2, 2).unwrap()), 0, 0, &[1, 2, 3]).unwrap();
    check(&plan);
    assert_eq!(plan.visible_count(), 4);
}
