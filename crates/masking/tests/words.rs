//! Properties of every mask over sequences of unequal length.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_masking::{MaskError, MaskScope, WordMask, WordPlan};
use proptest::prelude::*;

/// Texts of the given lengths, their words first.
fn eligible(lengths: &[usize], tokens: usize) -> Vec<bool> {
    lengths.iter().flat_map(|&length| (0..tokens).map(move |place| place < length)).collect()
}

fn arbitrary_lengths() -> impl Strategy<Value = (usize, Vec<usize>)> {
    (1_usize..20)
        .prop_flat_map(|tokens| (Just(tokens), proptest::collection::vec(0..=tokens, 1..9)))
}

proptest! {
    #[test]
    fn padding_is_neither_visible_nor_masked_and_every_word_is_one_of_them(
        (tokens, lengths) in arbitrary_lengths(), ratio in 0.05..0.95, seed in 0_u64..99,
        shared in any::<bool>(),
    ) {
        let mask = WordMask::new(ratio).unwrap();
        let eligible = eligible(&lengths, tokens);
        let samples: Vec<u64> = (0..lengths.len() as u64).map(|i| i * 7).collect();
        let scope = if shared { MaskScope::Batch } else { MaskScope::Sample };
        let plan = WordPlan::draw(mask, scope, &eligible, seed, 3, &samples).unwrap();
        prop_assert_eq!((plan.samples(), plan.tokens()), (lengths.len(), tokens));
        for (sample, &length) in lengths.iter().enumerate() {
            let row = sample * tokens..(sample + 1) * tokens;
            let slots = sample * plan.slots()..(sample + 1) * plan.slots();
            let seen: Vec<usize> = plan.visible()[slots.clone()]
                .iter()
                .zip(&plan.filled()[slots])
                .filter(|(_, filled)| **filled)
                .map(|(&place, _)| place as usize)
                .collect();
            let hidden: Vec<usize> =
                (0..tokens).filter(|place| plan.masked()[row.start + place]).collect();
            let mut all = [&seen[..], &hidden[..]].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..length).collect::<Vec<_>>());
            if shared {
                let both = length.min(lengths[0]);
                prop_assert_eq!(&plan.masked()[row.clone()][..both], &plan.masked()[..both]);
            } else {
                prop_assert_eq!(seen.len(), mask.visible_count(length));
            }
            for (slot, &place) in seen.iter().enumerate() {
                let at = plan.restore()[row.start + place] as usize;
                prop_assert_eq!(plan.visible()[sample * plan.slots() + at] as usize, place, "{}", slot);
            }
            for place in hidden {
                prop_assert_eq!(plan.restore()[row.start + place] as usize, plan.slots());
            }
        }
        let (rows, shares) = plan.hidden();
        prop_assert_eq!(rows.len(), plan.masked().iter().filter(|&&masked| masked).count());
        let texts = plan.masked().chunks(tokens).filter(|row| row.contains(&true)).count();
        prop_assert!((shares.iter().sum::<f32>() - texts as f32).abs() < 1e-4);
    }

    #[test]
    fn a_sample_has_the_same_mask_in_any_batch(
        lengths in proptest::collection::vec(1_usize..12, 2..9), seed in 0_u64..99,
    ) {
        let mask = WordMask::new(0.5).unwrap();
        let samples: Vec<u64> = (0..lengths.len() as u64).collect();
        let draw = |lengths: &[usize], samples: &[u64]| {
            let eligible = eligible(lengths, 12);
            WordPlan::draw(mask, MaskScope::Sample, &eligible, seed, 0, samples).unwrap()
        };
        let whole = draw(&lengths, &samples);
        for (sample, &length) in lengths.iter().enumerate() {
            let alone = draw(&[length], &[sample as u64]);
            prop_assert_eq!(alone.masked(), &whole.masked()[sample * 12..][..12]);
        }
    }
}

#[test]
fn one_mask_for_the_batch_is_the_same_in_every_row() {
    let mask = WordMask::new(0.75).unwrap();
    let eligible = eligible(&[8, 8, 8], 8);
    let plan = WordPlan::draw(mask, MaskScope::Batch, &eligible, 1, 0, &[5, 2, 9]).unwrap();
    assert_eq!(plan.slots(), 2);
    assert_eq!(plan.masked()[..8], plan.masked()[8..16]);
    assert_eq!(plan.masked()[..8], plan.masked()[16..]);
}

#[test]
fn counts_are_those_of_the_reference() {
    // int(length · (1 − ρ)) in double precision: sheet of M3AE, pitfall 5.
    for (ratio, wanted) in [(0.9, [6, 25]), (0.15, [54, 217]), (0.75, [16, 64])] {
        let mask = WordMask::new(ratio).unwrap();
        assert_eq!([64, 256].map(|tokens| mask.visible_count(tokens)), wanted, "{ratio}");
    }
}

#[test]
fn noise_keeps_the_lowest_in_their_order() {
    let noise: Vec<f32> = (1..=8).map(|i| (0.754_878 * i as f32).fract()).collect();
    let eligible = eligible(&[8, 5], 8);
    let mask = WordMask::new(0.75).unwrap();
    let plan = WordPlan::from_noise(mask, &noise, &eligible, 2).unwrap();
    assert_eq!(plan.visible(), [3, 7, 3, 7]);
    // The second text has five words: its place 7 is padding.
    assert_eq!(plan.filled(), [true, true, true, false]);
    let masked: Vec<u8> = plan.masked().iter().map(|&masked| u8::from(masked)).collect();
    assert_eq!(masked, [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0]);
    // Both zeros are equal, and a NaN of either sign comes last, as in a stable argsort.
    let mask = WordMask::new(0.2).unwrap();
    let noise = [-f32::NAN, 0.5, 0.0, -0.0, f32::NAN];
    let plan = WordPlan::from_noise(mask, &noise, &[true; 5], 1).unwrap();
    assert_eq!(plan.visible(), [2, 3, 1, 0]);
}

#[test]
fn whole_texts_hide_nothing() {
    let plan = WordPlan::whole(&eligible(&[2, 0], 3), 2).unwrap();
    assert_eq!((plan.slots(), plan.hidden().0.len()), (3, 0));
    assert_eq!(plan.filled(), [true, true, false, false, false, false]);
    assert_eq!(plan.restore(), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_does_not_fit_is_refused() {
    for ratio in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(WordMask::new(ratio), Err(MaskError::Ratio(_))), "{ratio}");
    }
    assert!(WordPlan::whole(&[true; 5], 2).is_err());
    assert!(WordPlan::whole(&[], 0).is_err());
    assert!(WordPlan::from_masks(&[true; 4], &[true; 6], 2).is_err());
    let mask = WordMask::new(0.5).unwrap();
    assert!(WordPlan::from_noise(mask, &[0.1; 4], &[true; 6], 2).is_err());
}
