//! Properties of masks of clips: the MAE-ST sheet's invariant 5 and its counts, and that an image
//! is a clip of one step.

use bauta_masking::{Grid, MaskError, MaskPlan, Strategy, visible_count};
use proptest::prelude::*;

/// One sample's mask, step by step.
fn steps(name: Strategy, grid: Grid, ratio: f64, sample: u64) -> Vec<Vec<bool>> {
    let strategy = name.build(grid, ratio).expect("a ratio that the grid meets");
    let plan = MaskPlan::draw(&*strategy, 3, 1, &[sample]).expect("equal counts");
    let mask: Vec<bool> = plan.mask().into_iter().map(|masked| masked == 1.0).collect();
    mask.chunks(grid.step().tokens()).map(<[bool]>::to_vec).collect()
}

fn all_equal<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

proptest! {
    #[test]
    fn a_tube_hides_the_same_places_in_every_step(
        (time, height, width) in (2_usize..9, 2_usize..15, 2_usize..15),
        ratio in 0.3_f64..0.7,
        sample: u64,
    ) {
        let grid = Grid::new(time, height, width).unwrap();
        let steps = steps(Strategy::Tube, grid, ratio, sample);
        prop_assert!(all_equal(&steps));
        let visible = steps[0].iter().filter(|&&masked| !masked).count();
        prop_assert_eq!(visible, visible_count(height * width, ratio).unwrap());
    }

    #[test]
    fn a_frame_mask_hides_all_places_of_a_step_or_none(
        (time, height, width) in (2_usize..9, 1_usize..15, 1_usize..15),
        ratio in 0.3_f64..0.5,
        sample: u64,
    ) {
        let grid = Grid::new(time, height, width).unwrap();
        let steps = steps(Strategy::Frame, grid, ratio, sample);
        prop_assert!(steps.iter().all(|step| all_equal(step)));
        let visible = steps.iter().filter(|step| !step[0]).count();
        prop_assert_eq!(visible, visible_count(time, ratio).unwrap());
    }

    #[test]
    fn masks_agnostic_of_spacetime_are_neither_tubes_nor_frames(sample: u64) {
        let grid = Grid::new(8, 14, 14).unwrap();
        for name in [Strategy::Random, Strategy::Block] {
            let steps = steps(name, grid, 0.75, sample);
            prop_assert!(!all_equal(&steps), "{name}");
            prop_assert!(!steps.iter().all(|step| all_equal(step)), "{name}");
        }
    }

    #[test]
    fn a_tube_through_one_step_is_a_random_mask(
        (height, width) in (2_usize..15, 2_usize..15),
        ratio in 0.3_f64..0.7,
        sample: u64,
    ) {
        let grid = Grid::image(height, width).unwrap();
        let mask = |name| steps(name, grid, ratio, sample);
        prop_assert_eq!(mask(Strategy::Tube), mask(Strategy::Random));
    }

    #[test]
    fn repeats_of_a_clip_have_masks_of_their_own(clip in 0_u64..1 << 40) {
        let grid = Grid::new(8, 14, 14).unwrap();
        let strategy = Strategy::Random.build(grid, 0.9).unwrap();
        let repeats: Vec<u64> = (0..4).map(|repeat| 4 * clip + repeat).collect();
        let plan = MaskPlan::draw(&*strategy, 0, 0, &repeats).unwrap();
        let masks: Vec<&[i64]> = plan.visible().chunks(plan.visible_count()).collect();
        for (place, mask) in masks.iter().enumerate() {
            prop_assert!(!masks[..place].contains(mask));
        }
    }
}

/// The sheet's counts for 8 × 14 × 14 tokens.
#[test]
fn the_paper_keeps_these_counts() {
    let grid = Grid::of_clip([16, 224, 224], 2, 16).unwrap();
    for (name, ratio, visible) in [
        (Strategy::Random, 0.9, 156),
        (Strategy::Random, 0.95, 78),
        (Strategy::Tube, 0.9, 152),
        (Strategy::Frame, 0.75, 392),
        (Strategy::Frame, 0.875, 196),
        (Strategy::Block, 0.75, 392),
        (Strategy::Grid, 0.75, 392),
    ] {
        let strategy = name.build(grid, ratio).unwrap();
        let samples: Vec<u64> = (0..20).collect();
        let plan = MaskPlan::draw(&*strategy, 0, 0, &samples).unwrap();
        assert_eq!(plan.visible_count(), visible, "{name} at {ratio}");
    }
}

/// Recorded runs resume to identical weights only while these stay as they are.
#[test]
fn golden_masks_of_clips_never_change() {
    let golden = [
        (Strategy::Random, [0x7dff_7d7f_7a57_efe4_u64, 0xfa72_dfd5_bbaf_fbfd]),
        (Strategy::Block, [0x4eff_8eff_0fff_0fff, 0xeeee_eeee_eeee_eeee]),
        (Strategy::Grid, [0x5f5f_5f5f_5f5f_5f5f, 0x5f5f_5f5f_5f5f_5f5f]),
        (Strategy::Tube, [0xd97f_d97f_d97f_d97f, 0x6bbf_6bbf_6bbf_6bbf]),
        (Strategy::Frame, [0x0000_ffff_ffff_ffff, 0x0000_ffff_ffff_ffff]),
    ];
    let grid = Grid::new(4, 4, 4).unwrap();
    for (name, expected) in golden {
        let plan = MaskPlan::draw(&*name.build(grid, 0.75).unwrap(), 7, 3, &[41, 42]).unwrap();
        let bits = |row: &[f32]| row.iter().rev().fold(0, |bits, &m| bits << 1 | m as u64);
        let found: Vec<u64> = plan.mask().chunks(64).map(bits).collect();
        assert_eq!(found, expected, "{name}: {found:#x?}");
    }
}

#[test]
fn clips_that_cannot_be_cut_or_masked_are_refused_in_words() {
    let refused = Grid::of_clip([15, 32, 32], 2, 8).unwrap_err().to_string();
    assert_eq!(refused, "a clip of 15 frames is not a multiple of the 2 frames of a patch");
    assert!(Grid::of_clip([16, 32, 32], 0, 8).is_err());
    assert!(matches!(Grid::of_clip([16, 32, 30], 2, 8), Err(MaskError::PatchSize { .. })));
    assert!(matches!(Grid::of_clip([0, 32, 32], 2, 8), Err(MaskError::EmptyGrid { .. })));
    let refused = Strategy::Frame.build(Grid::new(8, 4, 4).unwrap(), 0.9).err().unwrap();
    assert_eq!(refused, MaskError::Steps { ratio: 0.9, steps: 8, visible: 0 });
    let refused = Strategy::Frame.build(Grid::new(8, 4, 4).unwrap(), 1.2).err().unwrap();
    assert_eq!(refused, MaskError::Ratio(1.2));
}
