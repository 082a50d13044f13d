//! Claims: the runs that they plan, and how unusable ones are refused.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod valid;

use std::fs;
use std::path::{Path, PathBuf};

use bauta_recipe::claim::{Cell, Claim, Margin, Size, find};
use bauta_recipe::{Mae, Settings};

/// A valid claim; tests below count on its line numbers.
const CLAIM: &str = r#"source = "a paper, figure 5"
summary = "more is better"
recipe = "valid"
metric = "linear_top1"
seeds = [0, 1, 2]

[set]
"train.epochs" = 3
decoder.depth = 2

[axis]
key = "mask.ratio"
values = [0.25, 0.5, 0.75]

[paper]
what = "per cent"
values = { "0.25" = 61, "0.75" = 73.5 }

[[holds]]
better = 0.75
than = "0.25"
by = 0.02

[[holds]]
better = 0.75
than = 0.25
times = 1.5
metric = "samples_per_second"

[quick]
seeds = [4]
values = [0.25, 0.75]
set = { "train.epochs" = 1 }
"#;

/// Named settings in place of the axis.
const NAMED: &str = r#"source = "a paper, table 1f"
summary = "random is better"
recipe = "valid"
metric = "linear_top1"
seeds = [0]
[[setting]]
name = "random 75 %"
set = { "mask.strategy" = "random", "mask.ratio" = 0.75 }
[[setting]]
name = "block 50 %"
set.mask = { strategy = "block", ratio = 0.5 }
[[setting]]
name = "as it is"
[[holds]]
better = "random 75 %"
than = "block 50 %"
by = 0
[quick]
settings = ["random 75 %", "block 50 %"]
"#;

fn parse(text: &str, quick: bool) -> Claim {
    Claim::parse(text, Path::new("claims/c.toml"), Size::of(quick, false)).expect("a valid claim")
}

fn mae(cell: &Cell) -> &Mae {
    match &cell.recipe.settings {
        Settings::Mae(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str) -> String {
    Claim::parse(text, Path::new("c.toml"), Size::Full).expect_err(text).to_string()
}

fn labels(claim: &Claim) -> Vec<&str> {
    claim.settings.iter().map(|setting| setting.label()).collect()
}

/// A folder with the valid recipe in it.
fn recipes(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a scratch folder");
    fs::write(folder.join("valid.toml"), valid::RECIPE).expect("a writable folder");
    folder
}

#[test]
fn a_claim_says_what_it_compares() {
    let claim = parse(CLAIM, false);
    assert_eq!(claim.name, "c");
    assert_eq!(labels(&claim), ["0.25", "0.5", "0.75"]);
    assert_eq!(claim.settings[1].number(), Some(0.5));
    assert_eq!(claim.axis.as_deref(), Some("mask.ratio"));
    assert_eq!(claim.paper.as_ref().unwrap().values["0.25"], 61.0);
    assert_eq!(claim.holds[0].margin, Margin::By(0.02));
    assert_eq!(claim.holds[0].metric, "linear_top1");
    assert_eq!(claim.holds[1].margin, Margin::Times(1.5));
    assert_eq!(claim.holds[1].metric, "samples_per_second");
    let fixed: Vec<(&str, String)> = claim.fixed().collect();
    assert_eq!(fixed, [("decoder.depth", "2".to_owned()), ("train.epochs", "3".to_owned())]);
}

#[test]
fn what_every_run_has_is_told_once_and_as_the_runs_have_it() {
    let quick = parse(CLAIM, true);
    let fixed: Vec<(&str, String)> = quick.fixed().collect();
    assert_eq!(fixed, [("decoder.depth", "2".to_owned()), ("train.epochs", "1".to_owned())]);
    let set =
        "[set]\n\"mask.ratio\" = 0.6\n\"train.epochs\" = 2\n[[setting]]\nname = \"random 75 %\"";
    let text = NAMED.replace("[[setting]]\nname = \"random 75 %\"", set);
    let named = parse(&text, false);
    let fixed: Vec<(&str, String)> = named.fixed().collect();
    assert_eq!(fixed, [("train.epochs", "2".to_owned())], "two settings have their own ratio");
}

#[test]
fn cells_are_every_setting_with_every_seed_seed_by_seed() {
    let cells = parse(CLAIM, false).cells(&recipes("cells")).unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(names[..4], ["0.25-seed0", "0.5-seed0", "0.75-seed0", "0.25-seed1"]);
    assert_eq!(cells.len(), 9);
    let last = &cells[8];
    assert_eq!((last.setting, last.seed, last.recipe.seed), (2, 2, 2));
    assert_eq!(mae(last).mask.ratio, 0.75);
    assert_eq!((last.recipe.train.epochs, mae(last).decoder.depth), (3, 2));
    assert_eq!(mae(last).data.limit, None, "the recipe's own [quick] is no part of it");
}

#[test]
fn quick_reduces_values_seeds_and_settings() {
    let claim = parse(CLAIM, true);
    assert_eq!((labels(&claim), claim.seeds.as_slice()), (vec!["0.25", "0.75"], &[4][..]));
    let cells = claim.cells(&recipes("quick")).unwrap();
    assert_eq!((cells.len(), cells[0].recipe.seed, cells[0].recipe.train.epochs), (2, 4, 1));

    let claim = parse(NAMED, true);
    assert_eq!(labels(&claim), ["random 75 %", "block 50 %"]);
    let cells = claim.cells(&recipes("named")).unwrap();
    assert_eq!(cells[1].name, "block_50__-seed0");
    assert_eq!(mae(&cells[1]).mask.ratio, 0.5);
    assert_eq!(labels(&parse(NAMED, false)).len(), 3);
}

#[test]
fn an_unusable_claim_is_refused_with_its_line() {
    for (line, replacement, message) in [
        (
            "mask.ratio",
            "mask.ration",
            "c.toml:12: unknown key mask.ration; did you mean mask.ratio?",
        ),
        ("mask.ratio", "seed", "c.toml:12: seed cannot be set in a claim; list the seeds in seeds"),
        ("key = \"mask.ratio\"", "", "c.toml:11: missing key axis.key"),
        ("values = [0.25, 0.5, 0.75]", "", "c.toml:11: missing key axis.values"),
        ("values = [0.25, 0.5, 0.75]", "values = []", "c.toml:13: axis.values is empty"),
        ("[0.25, 0.5, 0.75]", "0.75", "c.toml:13: axis.values: expected an array of values"),
        ("[0.25, 0.5, 0.75]", "[0.25, 0.5, 0.5, 0.75]", "c.toml:13: 0.5 is listed twice"),
        (
            "[0.25, 0.5, 0.75]",
            "[[0.25], 0.75]",
            "c.toml:13: axis.values: expected a number, a name",
        ),
        (
            "\"0.25\" = 61",
            "\"0.250\" = 61",
            "c.toml:17: paper.values: 0.250 is not one of the values: 0.25, 0.5, 0.75",
        ),
        ("seeds = [0, 1, 2]", "seeds = []", "c.toml:5: seeds is empty"),
        ("seeds = [0, 1, 2]", "seeds = [0, 1, 0]", "c.toml:5: seeds contains 0 twice"),
        ("seeds = [0, 1, 2]", "seeds = [-1]", "c.toml:5: seeds: expected an integer"),
        ("seeds = [0, 1, 2]", "seeds = 3", "c.toml:5: seeds: "),
        ("seeds = [0, 1, 2]", "seed = 3", "c.toml:5: unknown key seed; did you mean seeds?"),
        ("source = \"a paper, figure 5\"", "", "c.toml: missing key source"),
        ("metric = \"linear_top1\"", "", "c.toml: missing key metric"),
        (
            "\"train.epochs\" = 3",
            "\"train.epoch\" = 3",
            "c.toml:8: unknown key train.epoch; did you",
        ),
        ("decoder.depth = 2", "decoder.dpeth = 2", "c.toml:9: unknown key decoder.dpeth; did you"),
        (
            "decoder.depth = 2",
            "seed = 2",
            "c.toml:9: seed cannot be set in a claim; list the seeds in seeds",
        ),
        ("[set]", "[sett]", "c.toml:7: unknown key sett; did you mean set?"),
        ("[set]\n", "[set]\n[set]\n", "c.toml:8: "),
        ("[axis]", "[[setting]]\nname = \"x\"\n[axis]", "c.toml: a claim needs an [axis] or"),
        ("\"0.25\" = 61", "\"0.25\" = \"61\"", "c.toml:17: paper.values: expected a number"),
        ("\"0.25\" = 61", "\"0.25\" = nan", "c.toml:17: paper.values: expected a number"),
        ("what = \"per cent\"", "", "c.toml:15: missing key paper.what"),
        (
            "better = 0.75",
            "better = 0.9",
            "holds.better 0.9 is not one of the values: 0.25, 0.5, 0.75",
        ),
        ("better = 0.75", "better = 0.25", "holds: 0.25 is compared with itself"),
        ("better = 0.75", "bettre = 0.75", "unknown key holds.bettre; did you mean holds.better?"),
        ("by = 0.02", "", "holds needs either `by` (a difference) or `times` (a quotient)"),
        ("by = 0.02", "by = 0.02\ntimes = 2", "holds needs either `by` (a difference) or `times`"),
        ("by = 0.02", "by = -0.02", "holds.by is -0.02; it must be a finite number of at least 0"),
        ("by = 0.02", "by = inf", "holds.by is inf; it must be a finite number of at least 0"),
        ("times = 1.5", "times = 0", "holds.times is 0; it must be a finite number above 0"),
        ("seeds = [4]", "seeds = []", "c.toml:30: quick.seeds is empty"),
        (
            "values = [0.25, 0.75]",
            "values = [0.5, 0.75]",
            "holds.than 0.25 is not one of the values that [quick] keeps: 0.5, 0.75",
        ),
        ("values = [0.25, 0.75]", "settings = [\"0.25\"]", "use quick.values"),
        (
            "values = [0.25, 0.75]",
            "value = [0.25]",
            "unknown key quick.value; did you mean quick.va",
        ),
        (
            "{ \"train.epochs\" = 1 }",
            "{ epochs = 1 }",
            "unknown key epochs; did you mean train.epochs",
        ),
        ("{ \"train.epochs\" = 1 }", "1", "expected a table of a recipe's keys, found 1"),
        ("[quick]", "[quik]", "c.toml:30: unknown key quik; did you mean quick?"),
        ("summary = ", "summary = = ", "c.toml:2: "),
    ] {
        assert!(CLAIM.contains(line), "{line:?}");
        let error = error(&CLAIM.replacen(line, replacement, 1));
        assert!(error.contains(message) && error.starts_with("c.toml"), "{replacement}: {error}");
        assert!(error.lines().count() <= 2, "{error}");
    }
    let without_quick = CLAIM.split("[quick]").next().unwrap();
    assert_eq!(error(without_quick), "c.toml: missing table quick");
    let nothing = NAMED.replace("[\"random 75 %\", \"block 50 %\"]", "[]");
    assert!(error(&nothing).contains("quick.settings is empty"), "{}", error(&nothing));
    let unknown = NAMED.replace("[\"random 75 %\", \"block", "[\"random\", \"block");
    assert!(
        error(&unknown).contains("quick.settings: \"random\" is not one of random 75 %, block")
    );
    let twice = NAMED.replace("as it is", "block 50 %");
    assert!(error(&twice).contains("block 50 % is listed twice"), "{}", error(&twice));
    assert!(error("").starts_with("c.toml: missing key"), "{}", error(""));
}

#[test]
fn a_setting_that_makes_no_recipe_is_refused_before_anything_runs() {
    let folder = recipes("refused");
    let refuse = |text: &str| parse(text, false).cells(&folder).unwrap_err().to_string();
    assert_eq!(
        refuse(&CLAIM.replace("0.5, 0.75]", "0.5, 1.75, 0.75]")),
        "claims/c.toml:13: mask.ratio 1.75 must be in (0, 1)"
    );
    let words = refuse(&CLAIM.replace("0.5, 0.75]", "\"half\", 0.75]"));
    assert!(words.starts_with("claims/c.toml:13: mask.ratio: expected a number"), "{words}");
    assert_eq!(
        refuse(&CLAIM.replace("\"train.epochs\" = 3", "\"train.epochs\" = 0")),
        "claims/c.toml:8: train.epochs is 0; it must be at least 1"
    );
    assert_eq!(
        refuse(&CLAIM.replace("\"valid\"", "\"vaild\"")),
        "claims/c.toml:3: no recipe named vaild; did you mean valid?; the recipes are: valid"
    );
    assert_eq!(
        refuse(&CLAIM.replace("\"train.epochs\" = 3", "\"mixture.lambda\" = 0.5")),
        "claims/c.toml:8: mixture is a table of system i-mae, not of mae"
    );
    let shared = NAMED.replace("as it is", "block_50__");
    assert!(refuse(&shared).contains("two settings would share the folder"), "{}", refuse(&shared));
}

#[test]
fn claims_are_found_by_name_or_path() {
    let folder = recipes("find");
    fs::write(folder.join("mae-mask-ratio.toml"), CLAIM).unwrap();
    assert!(find(&folder, "mae-mask-ratio").unwrap().is_file());
    let path = folder.join("mae-mask-ratio.toml");
    assert_eq!(find(&folder, path.to_str().unwrap()).unwrap(), path);
    let unknown = find(&folder, "mae-mask-raito").unwrap_err().to_string();
    assert!(unknown.contains("did you mean mae-mask-ratio?"), "{unknown}");
    let absent = find(&folder, "absent.toml").unwrap_err().to_string();
    assert!(absent.starts_with("cannot read the claim absent.toml"), "{absent}");
}

#[test]
fn every_claim_of_the_workspace_plans_its_runs() {
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let (claims, recipes) = (experiments.join("claims"), experiments.join("recipes"));
    let names = bauta_recipe::names(&claims).unwrap();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let path = find(&claims, &name).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sizes = [Size::Full, Size::Quick, Size::Small];
        for size in sizes.into_iter().filter(|size| *size != Size::Small || is_small(&text)) {
            let claim = Claim::load(&path, size).unwrap();
            let cells = claim.cells(&recipes).unwrap();
            assert_eq!(cells.len(), claim.settings.len() * claim.seeds.len(), "{name}");
            assert!(claim.seeds.len() > 1, "{name} has no deviation over seeds");
        }
    }
}

fn is_small(text: &str) -> bool {
    text.lines().any(|line| line == "[small]" || line == "[small.set]")
}

#[test]
fn a_small_size_is_laid_over_the_full_one_and_not_over_the_quick_one() {
    let path = Path::new("c.toml");
    let small = "[small]\nvalues = [0.25, 0.5, 0.75]\nset = { \"train.batch_size\" = 8 }\n";
    let claim = Claim::parse(&format!("{CLAIM}{small}"), path, Size::Small).unwrap();
    assert_eq!((claim.size, claim.seeds.len(), claim.settings.len()), (Size::Small, 3, 3));
    let cells = claim.cells(&recipes("small")).unwrap();
    assert_eq!((cells[0].recipe.train.epochs, cells[0].recipe.train.batch_size), (3, 8));
    let wrong = format!("{CLAIM}[small]\nvalues = [0.25]\n");
    assert!(error(&wrong).contains("not one of the values that [small] keeps: 0.25"));
    let absent = Claim::parse(CLAIM, path, Size::Small).unwrap_err().to_string();
    assert_eq!(absent, "c.toml: c has no [small] table; run it in full or with --quick");
}
