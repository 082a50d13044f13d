//! Properties of every fill, and the statistics of the released generators (sheet §2.1).

use bauta_masking::{Fill, FillStrategy, Filler, Grid, MaskError, Partners};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use proptest::prelude::*;

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 3, purpose: Purpose::named("fill"), epoch: 0, sample }.stream()
}

fn filler(strategy: FillStrategy, side: usize, own: f64) -> Filler {
    let grid = Grid::image(side, side).expect("cells");
    Filler::new(strategy, grid, [16, 16], own).expect("a grid that can be filled")
}

fn draws(filler: &Filler, count: u64) -> Vec<Fill> {
    (0..count).map(|sample| filler.draw(Partners::Reversal, 4, &mut stream(sample))).collect()
}

/// Mean and standard deviation of λ, and the fraction of draws without an own cell.
fn statistics(strategy: FillStrategy, side: usize, own: f64) -> [f64; 3] {
    let own: Vec<f64> = draws(&filler(strategy, side, own), 3000).iter().map(Fill::own).collect();
    let mean = own.iter().sum::<f64>() / 3000.0;
    let variance = own.iter().map(|own| (own - mean).powi(2)).sum::<f64>() / 3000.0;
    [mean, variance.sqrt(), own.iter().filter(|&&own| own == 0.0).count() as f64 / 3000.0]
}

#[test]
fn the_released_generators_statistics_are_those_of_the_sheet() {
    // Grid side, own, mean of λ, and the fraction of draws without an own cell.
    let blocks = [
        (2, 0.25, 0.179, 0.28),
        (2, 0.5, 0.023, 0.94),
        (2, 0.75, 0.0, 1.0),
        (4, 0.25, 0.247, 0.0),
        (4, 0.5, 0.499, 0.0),
        (4, 0.75, 0.744, 0.0),
        (8, 0.25, 0.249, 0.0),
        (8, 0.5, 0.4994, 0.0),
        (8, 0.75, 0.748, 0.0),
        (16, 0.5, 0.4996, 0.0),
    ];
    for (side, own, mean, none) in blocks {
        let [found, _, without] = statistics(FillStrategy::ReleasedBlock, side, own);
        assert!((found - mean).abs() < 0.01, "{side}, {own}: λ is {found}, not {mean}");
        assert!((without - none).abs() < 0.03, "{side}, {own}: {without} without own cells");
    }
    for (side, mean, deviation) in
        [(2, 0.498, 0.189), (4, 0.504, 0.127), (8, 0.502, 0.062), (16, 0.5, 0.031)]
    {
        let [found, spread, without] = statistics(FillStrategy::Discrete, side, 0.5);
        assert!((found - mean).abs() < 0.01, "{side}: λ is {found}, not {mean}");
        assert!((spread - deviation).abs() < 0.01, "{side}: deviation {spread}");
        assert_eq!(without, 0.0);
    }
}

#[test]
fn the_guarded_generator_agrees_where_the_released_one_is_sound() {
    for (side, own) in [(4, 0.25), (4, 0.5), (8, 0.25), (8, 0.5), (8, 0.75), (16, 0.5)] {
        let [found, ..] = statistics(FillStrategy::Block, side, own);
        let [released, ..] = statistics(FillStrategy::ReleasedBlock, side, own);
        assert!((found - released).abs() < 0.01, "{side}, {own}: {found}, {released}");
    }
    let [mean, _, without] = statistics(FillStrategy::Block, 2, 0.5);
    assert!((0.25..=0.5).contains(&mean) && without == 0.0, "{mean}, {without}");
}

#[test]
fn the_ratio_means_the_own_part_in_every_strategy() {
    for strategy in [FillStrategy::Block, FillStrategy::Discrete, FillStrategy::ReleasedBlock] {
        let [quarter, ..] = statistics(strategy, 8, 0.25);
        let [most, ..] = statistics(strategy, 8, 0.75);
        assert!((quarter - 0.25).abs() < 0.01 && (most - 0.75).abs() < 0.01, "{strategy}");
    }
}

proptest! {
    #[test]
    fn a_fill_keeps_its_promises(
        strategy in prop::sample::select(vec![FillStrategy::Block, FillStrategy::Discrete]),
        partners in prop::sample::select(vec![Partners::Reversal, Partners::Permutation]),
        rows in 2_usize..10, columns in 1_usize..10, height in 10_usize..40, width in 10_usize..40,
        own in 0.2..0.8_f64, samples in 1_usize..20, key: u64,
    ) {
        let grid = Grid::image(rows, columns).unwrap();
        let filler = match Filler::new(strategy, grid, [height, width], own) {
            Ok(filler) => filler,
            // A grid with so few cells that the fraction of own ones rounds to none.
            Err(error) => {
                prop_assert!(matches!(error, MaskError::Degenerate { .. }), "{}", error);
                return Ok(());
            }
        };
        let fill = filler.draw(partners, samples, &mut stream(key));
        prop_assert_eq!(&fill, &filler.draw(partners, samples, &mut stream(key)));
        prop_assert!(fill.cells().contains(&true) && fill.cells().contains(&false));
        if strategy == FillStrategy::Block {
            let kept = fill.cells().iter().filter(|&&masked| !masked).count();
            prop_assert!(kept as f64 <= own * grid.tokens() as f64);
        }
        // Every pixel has the value of its cell.
        for (place, &masked) in fill.pixels().iter().enumerate() {
            let (y, x) = (place / width, place % width);
            let cell = y * rows / height * columns + x * columns / width;
            prop_assert_eq!(masked, fill.cells()[cell]);
        }
        let kept = fill.pixels().iter().filter(|&&masked| !masked).count();
        prop_assert_eq!(fill.own(), kept as f64 / (height * width) as f64);
        for sample in 0..samples {
            let partner = fill.partners()[sample] as usize;
            prop_assert_eq!(fill.partner_of()[partner], sample as i64);
        }
        if partners == Partners::Reversal {
            prop_assert_eq!(fill.partners(), fill.partner_of());
            let back: Vec<i64> = (0..samples as i64).rev().collect();
            prop_assert_eq!(fill.partners(), back);
        }
        let complement = fill.complement();
        prop_assert!((complement.own() + fill.own() - 1.0).abs() < 1e-12);
        let twice = complement.complement();
        prop_assert_eq!(twice.cells(), fill.cells());
    }
}

#[test]
fn a_rectangle_is_shorter_than_the_grid() {
    for strategy in [FillStrategy::Block, FillStrategy::ReleasedBlock] {
        // A single rectangle of two cells at most.
        let filler = filler(strategy, 4, 0.13);
        for fill in draws(&filler, 500) {
            for row in fill.cells().chunks(4) {
                assert!(row.contains(&true), "{strategy}: {:?}", fill.cells());
            }
        }
    }
}

#[test]
fn what_cannot_be_filled_is_refused_by_its_name() {
    let refuse = |side, own| {
        let grid = Grid::image(side, side).unwrap();
        Filler::new(FillStrategy::Block, grid, [8, 8], own).unwrap_err().to_string()
    };
    assert!(refuse(9, 0.5).contains("9 × 9 cells does not fit an image of 8 × 8 pixels"));
    assert_eq!(refuse(4, 0.0), "the own fraction 0 must be in (0, 1)");
    assert_eq!(refuse(4, f64::NAN), "the own fraction NaN must be in (0, 1)");
    assert!(refuse(4, 0.05).contains("0 visible and 16 masked of 16 tokens"));
    assert!(refuse(1, 0.5).contains("0 visible and 1 masked of 1 tokens"));
    let clip = Grid::new(2, 2, 2).unwrap();
    assert!(Filler::new(FillStrategy::Discrete, clip, [8, 8], 0.5).is_err());
}

/// Recorded runs resume with these.
#[test]
fn golden_fills_never_change() {
    let shown = |strategy, side| {
        let fill = filler(strategy, side, 0.5).draw(Partners::Permutation, 6, &mut stream(1));
        let cells: String =
            fill.cells().iter().map(|&masked| if masked { '#' } else { '.' }).collect();
        format!("{cells} {:?}", fill.partners())
    };
    let found = [
        shown(FillStrategy::Block, 4),
        shown(FillStrategy::Discrete, 4),
        shown(FillStrategy::ReleasedBlock, 4),
    ];
    let wanted = [
        "...#...#####..## [1, 4, 2, 0, 3, 5]",
        "#.....#.##.#.#.# [0, 1, 4, 5, 3, 2]",
        "...#...##..##### [0, 1, 2, 5, 4, 3]",
    ];
    assert_eq!(found, wanted);
}
