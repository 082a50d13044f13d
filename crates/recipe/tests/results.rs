//! Tables of results: the runs that they plan, and how unusable ones are refused.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod valid;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bauta_recipe::claim::{Claim, Measure, Origin, ResultTable, Size, TableLayers};

/// A valid table; tests below count on its line numbers.
const TABLE: &str = r#"summary = "Two rows."
seeds = [0, 1, 2]
[[column]]
name = "k-NN"
metric = "knn_top1"
[[column]]
name = "10 %"
finetune = ["eval.finetune.labels=0.1"]
[[column]]
name = "own"
[[row]]
name = "as it is"
recipe = "valid"
set = { "train.epochs" = 3, "mask.ratio" = 0.5 }
[[row]]
name = "other words"
recipe = "valid"
metrics = { knn_top1 = "category_knn_top1" }
metric = "word_top1"
finetune = false
[[row]]
name = "untrained"
of = "as it is"
baseline = "random_init"
[[row]]
name = "pixels"
of = "as it is"
baseline = "raw_pixels"
[quick]
seeds = [4]
finetune = ["data.limit=100"]
"#;

/// A folder with the valid recipe in it, written once for all tests.
fn recipes() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("results");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("valid.toml"), valid::RECIPE).unwrap();
        folder
    });
    FOLDER.clone()
}

fn parse(text: &str, layers: &TableLayers) -> Result<ResultTable, String> {
    ResultTable::parse(text, Path::new("t.toml"), &recipes(), layers)
        .map_err(|error| error.to_string())
}

#[test]
fn a_row_is_a_claim_of_one_setting_that_is_read_back_as_the_same_runs() {
    let table = parse(TABLE, &TableLayers::default()).unwrap();
    let cells = table.cells(0, &recipes()).unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(names, ["as_it_is-seed0", "as_it_is-seed1", "as_it_is-seed2"]);
    assert_eq!(cells[1].recipe.train.epochs, 3);
    let text = table.claim(0).to_toml();
    let read = Claim::parse(&text, Path::new("as_it_is.toml"), Size::Full).unwrap();
    assert_eq!(read.cells(&recipes()).unwrap(), cells, "{text}");
    // A baseline's row shows the same runs.
    assert_eq!(table.cells(2, &recipes()).unwrap(), cells);
}

#[test]
fn quick_is_laid_over_a_row_and_overrides_over_quick() {
    let set = vec!["mask.ratio=0.9".to_owned()];
    let layers = TableLayers { quick: true, set, seeds: Vec::new() };
    let table = parse(TABLE, &layers).unwrap();
    let cells = table.cells(0, &recipes()).unwrap();
    assert_eq!((cells.len(), cells[0].seed), (1, 4));
    let quick = bauta_recipe::Layers { quick: true, set: vec!["mask.ratio=0.9".to_owned()] };
    let alone = <bauta_recipe::Recipe>::load(&recipes().join("valid.toml"), &quick).unwrap();
    assert_eq!(cells[0].recipe.train, alone.train, "the recipe's own [quick] counts more");
    assert_eq!(cells[0].recipe.settings, alone.settings);
    let tuned = ["eval.finetune.labels=0.1", "data.limit=100"].map(str::to_owned).to_vec();
    assert_eq!(table.columns[1].measure, Measure::FineTune(tuned));
    let text = table.claim(0).to_toml();
    let read = Claim::parse(&text, Path::new("as_it_is.toml"), Size::Full).unwrap();
    assert_eq!(read.cells(&recipes()).unwrap(), cells, "{text}");

    // The optimiser of the reduced form has no betas; the file's are those of another.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("results-quick");
    fs::create_dir_all(&folder).unwrap();
    let sgd = valid::RECIPE.replace("[quick]", "[quick]\n\"train.optimizer\" = \"sgd\"");
    fs::write(folder.join("valid.toml"), sgd).unwrap();
    let layers = TableLayers { quick: true, ..TableLayers::default() };
    let table = ResultTable::parse(TABLE, Path::new("t.toml"), &folder, &layers).unwrap();
    let cells = table.cells(0, &folder).unwrap();
    let text = table.claim(0).to_toml();
    let read = Claim::parse(&text, Path::new("as_it_is.toml"), Size::Full).unwrap();
    assert_eq!(read.cells(&folder).unwrap(), cells, "{text}");

    let layers = TableLayers { seeds: vec![7, 8], ..TableLayers::default() };
    assert_eq!(parse(TABLE, &layers).unwrap().seeds, [7, 8]);
}

#[test]
fn a_row_names_its_numbers() {
    let table = parse(TABLE, &TableLayers::default()).unwrap();
    let names = |row: usize| {
        let of = |column: usize| table.rows[row].metric_of(&table.columns[column].measure);
        [of(0), of(1), of(2)].map(|name| name.unwrap_or_default())
    };
    assert_eq!(names(0), ["knn_top1", "", "linear_top1"]);
    assert_eq!(names(1), ["category_knn_top1", "", "word_top1"]);
    assert_eq!(names(2), ["random_init.knn_top1", "", "random_init.linear_top1"]);
    let tuned: Vec<bool> = table.rows.iter().map(|row| row.finetune).collect();
    assert_eq!(tuned, [true, false, true, false]);
    assert!(matches!(table.rows[3].origin, Origin::Row { place: 0, .. }));
}

#[test]
fn what_makes_no_table_is_refused_where_it_stands() {
    for (from, to, words) in [
        (
            "recipe = \"valid\"\nset",
            "recipe = \"vaild\"\nset",
            "row as it is: no recipe named vaild",
        ),
        ("train.epochs", "train.epoch", "t.toml:14: unknown key train.epoch; did you mean"),
        ("of = \"as it is\"", "of = \"as is\"", "is not an earlier row with a recipe"),
        ("name = \"other words\"", "name = \"as it-is\"\nof = \"as it is\"", "needs either recipe"),
        ("name = \"own\"", "name = \"10 _\"", "two columns would use the folder name of 10 _"),
        ("seeds = [0, 1, 2]", "seeds = [0, 0]", "seeds contains 0 twice"),
        ("seeds = [4]", "seeds = []", "quick.seeds is empty"),
        ("finetune.labels=0.1", "finetune.label=0.1", "did you mean eval.finetune.labels?"),
        ("data.limit=100", "data.limit=0", "must be at least 1"),
        ("metric = \"knn_top1\"", "metrik = \"knn_top1\"", "unknown key column.metrik"),
    ] {
        let text = TABLE.replacen(from, to, 1);
        assert_ne!(text, TABLE, "{from}");
        let error = parse(&text, &TableLayers::default()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let none = parse("summary = \"\"\nseeds = [0]\n", &TableLayers::default()).unwrap_err();
    assert_eq!(none, "t.toml: the table has no [[row]]");
    let invalid = TABLE.replace("\"mask.ratio\" = 0.5", "\"mask.ratio\" = 1.5");
    let table = parse(&invalid, &TableLayers::default()).unwrap();
    assert!(table.cells(0, &recipes()).unwrap_err().to_string().contains("t.toml:14"));
}
