//! A table of results through the program, in miniature: made, resumed, and read.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Command;

use bauta_recipe::claim::{ResultTable, TableLayers};
use bauta_report::TableRuns;
use digits::{DECODER, Place, SMALL, words};

const TABLE: &str = r#"
summary = "MAE against nothing."
seeds = [0, 1]
[[column]]
name = "k-NN"
metric = "knn_top1"
[[column]]
name = "half of the labels"
finetune = ["eval.finetune.epochs=4", "eval.finetune.batch_size=32", "eval.finetune.labels=0.5"]
[[column]]
name = "images/s"
metric = "samples_per_second"
[[row]]
name = "MAE"
recipe = "mae-cifar10"
metric = "knn_top1"
set = { "train.epochs" = 2 }
[[row]]
name = "untrained"
of = "MAE"
baseline = "random_init"
[[row]]
name = "pixels"
of = "MAE"
baseline = "raw_pixels"
"#;

#[test]
fn a_table_is_made_once_and_has_a_number_a_seed() {
    let place = Place::new();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    // A table can only be laid over key by key.
    let mut set = words(&SMALL);
    set.retain(|word| !word.starts_with("data.augment="));
    set.push("data.augment.crop=none".to_owned());
    set.extend(words(&DECODER));
    set.push("eval.baselines=true".to_owned());
    set.push(format!("data.root={}", place.path("data").display()));
    let layers = TableLayers { set, ..TableLayers::default() };
    let table = ResultTable::parse(TABLE, Path::new("mini.toml"), &recipes, &layers).unwrap();
    let (out, calls) = (place.path("out"), Cell::new(0));
    let call = |subcommand: &str| {
        calls.set(calls.get() + usize::from(subcommand == "finetune"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bauta"));
        command.arg(subcommand);
        command
    };
    let told = |_: &str| ();
    let runs = TableRuns { table: &table, out: &out, recipes: &recipes, call: &call, told: &told };
    assert!(runs.find(0).is_err(), "nothing is there yet");
    (0..3).for_each(|row| runs.make(row).unwrap());
    assert_eq!(calls.get(), 4, "two seeds, pre-trained and from scratch");

    let mae = runs.find(0).unwrap();
    assert_eq!(mae.numbers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(mae.seconds > 0.0 && mae.summaries.len() == 2);
    assert!(mae.numbers[1].iter().all(|top1| (0.0..=1.0).contains(top1)));
    assert_ne!(mae.numbers[0][0], mae.numbers[2][0]);
    let untrained = runs.find(1).unwrap();
    assert_eq!(untrained.numbers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 0]);
    assert!(untrained.summaries.is_empty());
    let pixels = runs.find(2).unwrap();
    assert_eq!(pixels.numbers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 0]);

    // Finished runs are kept; a removed one is made again, with the same number.
    let tuned = out.join("MAE/MAE-seed1").join(table.columns[1].folder());
    fs::remove_dir_all(&tuned).unwrap();
    let log = fs::metadata(out.join("MAE/MAE-seed0/metrics.jsonl")).unwrap().modified().unwrap();
    runs.make(0).unwrap();
    assert_eq!(calls.get(), 5);
    assert_eq!(runs.find(0).unwrap().numbers, mae.numbers);
    let now = fs::metadata(out.join("MAE/MAE-seed0/metrics.jsonl")).unwrap().modified().unwrap();
    assert_eq!(now, log, "a finished run is not made again");
}
