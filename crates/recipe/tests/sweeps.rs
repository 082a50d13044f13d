//! Sweeps: the runs that a user's axes plan.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod valid;

use std::fs;
use std::path::{Path, PathBuf};

use bauta_recipe::Layers;
use bauta_recipe::claim::{Best, Claim, Size, Sweep};

/// A folder with the valid recipe in it.
fn recipes(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("valid.toml"), valid::RECIPE).unwrap();
    folder
}

fn claim(recipes: &Path, axes: &[&str], set: &[&str]) -> Result<Claim, String> {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let layers = Layers { quick: true, set: owned(set) };
    let sweep = Sweep {
        recipe: "valid",
        recipes,
        layers: &layers,
        axes: &owned(axes),
        seeds: &[3, 5],
        metric: None,
        best: Best::Greatest,
    };
    sweep.claim("valid-quick").map_err(|error| error.to_string())
}

#[test]
fn an_axis_makes_runs_on_held_out_training_images() {
    let recipes = recipes("sweep-axis");
    let claim = claim(&recipes, &["train.base_lr=1e-3,2e-3"], &["mask.ratio=0.6"]).unwrap();
    assert!(claim.is_validated());
    assert_eq!(
        (claim.metric.as_str(), claim.axis.as_deref()),
        ("linear_top1", Some("train.base_lr"))
    );
    let cells = claim.cells(&recipes).unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(names, ["0.001-seed3", "0.002-seed3", "0.001-seed5", "0.002-seed5"]);
    let text = cells[1].recipe.to_toml().unwrap();
    for line in ["base_lr = 0.002", "ratio = 0.6", "validation = 0.1", "seed = 3"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // The recipe's own reduced form is laid under the overrides.
    let layers = Layers { quick: true, set: Vec::new() };
    let quick = <bauta_recipe::Recipe>::load(&recipes.join("valid.toml"), &layers).unwrap();
    assert_eq!(cells[0].recipe.train.epochs, quick.train.epochs);
}

#[test]
fn several_axes_make_every_combination() {
    let recipes = recipes("sweep-grid");
    let axes = ["train.base_lr=1e-3,2e-3", "mask.ratio=0.5,0.75,0.9"];
    let claim = claim(&recipes, &axes, &["data.validation=0.2"]).unwrap();
    let labels: Vec<&str> = claim.settings.iter().map(|setting| setting.label()).collect();
    assert_eq!(labels.len(), 6);
    assert_eq!(labels[4], "train.base_lr 0.002, mask.ratio 0.75");
    let cells = claim.cells(&recipes).unwrap();
    assert_eq!(cells.len(), 12);
    assert!(cells[0].recipe.to_toml().unwrap().contains("validation = 0.2"));
}

#[test]
fn what_is_written_is_read_back_as_the_same_runs() {
    let recipes = recipes("sweep-written");
    for axes in
        [&["mask.ratio=0.5,0.75"][..], &["mask.ratio=0.5,0.75", "mask.strategy=random,block"]]
    {
        let claim = claim(&recipes, axes, &["train.epochs=2"]).unwrap();
        let text = claim.to_toml();
        let read =
            Claim::parse(&text, Path::new("runs/sweeps/valid-quick.toml"), Size::Full).unwrap();
        assert_eq!(read.name, "valid-quick");
        assert_eq!(read.best, Some(Best::Greatest));
        assert_eq!(read.cells(&recipes).unwrap(), claim.cells(&recipes).unwrap(), "{text}");
    }
}

#[test]
fn any_path_is_read_back() {
    let recipes = recipes("sweep-paths");
    // An accent of its own character, as macOS writes it, and what TOML escapes.
    for root in ["/home/andre\u{301}", "/a \"b\" c", "/a\\b", "/a\u{200b}b", "/a'b\"c"] {
        let set = format!("data.root={root}");
        let claim = claim(&recipes, &["mask.ratio=0.5,0.75"], &[set.as_str()]).unwrap();
        let text = claim.to_toml();
        let read = Claim::parse(&text, Path::new("valid-quick.toml"), Size::Full).unwrap();
        assert_eq!(read.cells(&recipes).unwrap(), claim.cells(&recipes).unwrap(), "{text}");
    }
}

#[test]
fn what_cannot_be_varied_is_refused() {
    let recipes = recipes("sweep-refused");
    let refuse = |axes: &[&str]| {
        let made = claim(&recipes, axes, &[]);
        made.and_then(|claim| claim.cells(&recipes).map_err(|error| error.to_string())).unwrap_err()
    };
    assert_eq!(
        refuse(&["mask.ration=0.5"]),
        "--axis mask.ration=0.5: unknown key mask.ration; did you mean mask.ratio?"
    );
    assert!(refuse(&["mask.ratio"]).starts_with("--axis mask.ratio: expected KEY=A,B,C"));
    assert!(refuse(&[]).starts_with("--axis: say what to vary"));
    assert!(refuse(&["mask.ratio=0.5,0.5"]).contains("0.5 is listed twice"));
    assert!(refuse(&["mask.ratio=0.5", "mask.ratio=0.7"]).contains("given twice"));
    assert_eq!(
        refuse(&["mask.ratio=0.5,1.5"]),
        "--set mask.ratio=1.5: mask.ratio 1.5 must be in (0, 1)"
    );
    assert!(claim(&recipes, &["mask.ratio=0.5"], &["seed=1"]).unwrap_err().contains("seed"));
}
