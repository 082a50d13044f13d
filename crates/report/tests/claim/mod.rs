//! A claim of two settings and two seeds, with possible results of its runs.

use std::collections::BTreeMap;
use std::path::Path;

use bauta_recipe::claim::{Cell, Claim, Size};
use bauta_report::{Summary, Training};

pub const CLAIM: &str = r#"
source = "a paper <b>, figure 5"
summary = "More is better."
note = "Another network."
recipe = "mae-cifar10"
metric = "linear_top1"
seeds = [0, 1]
[set]
"train.epochs" = 2
[axis]
key = "mask.ratio"
values = [0.25, 0.75]
[paper]
what = "linear probe, %"
values = { "0.75" = 73.5 }
[[holds]]
better = 0.75
than = 0.25
by = 0.05
[[holds]]
better = 0.75
than = 0.25
times = 1.5
metric = "samples_per_second"
[quick]
"#;

/// A claim and its planned runs, with the workspace's own recipe.
pub fn parse(claim: &str) -> (Claim, Vec<Cell>) {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes");
    let claim = Claim::parse(claim, Path::new("c.toml"), Size::Full).expect("a valid claim");
    let cells = claim.cells(&recipes).expect("valid recipes");
    (claim, cells)
}

/// A better accuracy and speed at the larger ratio; the seed adds a hundredth.
pub fn summary(claim: &Claim, cell: &Cell) -> Summary {
    let large = claim.settings[cell.setting].number() > Some(0.5);
    let top1 = if large { [0.5, 0.51] } else { [0.4, 0.41] }[cell.seed as usize];
    let train = Training {
        steps: 10,
        samples: 1280,
        seconds: 60.0,
        samples_per_second: if large { 1400.0 } else { 1000.0 },
        data_seconds: 0.0,
        skipped_samples: 0,
        first_loss: Some(2.0),
        final_loss: Some(0.5),
        parameters: 100,
    };
    Summary {
        teacher: None,
        recipe: "mae-cifar10".to_owned(),
        system: "mae".to_owned(),
        seed: cell.seed,
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        threads: 2,
        processes: 1,
        precision: "fp32".to_owned(),
        train,
        eval: BTreeMap::from([("linear_top1".to_owned(), top1)]),
        baseline: BTreeMap::from([("stage_1.linear_top1".to_owned(), 2.0 * top1 - 0.4)]),
        protocols: Vec::new(),
        eval_seconds: 6.0,
    }
}
