//! The settings that a row's numbers depend on, as a digest.

use std::path::Path;

use bauta_recipe::claim::{ClaimError, Measure, Origin, ResultTable};
use bauta_recipe::{FineTuneSettings, Recipe};
use sha2::{Digest, Sha256};

/// The digest of the settings that give the row at this index its numbers, SHA-256 in hexadecimal
/// digits; [`ResultsRow::digest`](crate::ResultsRow::digest) says what it covers.
///
/// # Errors
/// [`ClaimError`] when the row, or its teacher, has an invalid recipe.
///
/// # Panics
/// When there is no row at this index.
pub fn row_digest(table: &ResultTable, place: usize, recipes: &Path) -> Result<String, ClaimError> {
    let row = &table.rows[place];
    let mut runs = Vec::new();
    for cell in table.cells(place, recipes)? {
        runs.push(cell.recipe.settings_of_result()?);
        let teacher = cell.recipe.teacher().map(|teacher| Recipe::of_teacher(teacher, recipes));
        if let Some(teacher) = teacher.transpose()?.flatten() {
            runs.push(teacher.settings_of_result()?);
        }
    }
    let mut columns = Vec::new();
    for column in &table.columns {
        columns.push(match &column.measure {
            Measure::FineTune(set) if row.finetune => {
                let settings = serde_json::to_string(&FineTuneSettings::parse(set)?);
                Some(settings.expect("settings are plain data"))
            }
            measure => row.metric_of(measure),
        });
    }
    let baseline = match &row.origin {
        Origin::Row { baseline, .. } => baseline.as_deref(),
        Origin::Runs(_) => None,
    };
    let all = serde_json::to_vec(&(runs, columns, baseline)).expect("words have a JSON form");
    Ok(Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bauta_recipe::claim::TableLayers;

    use super::*;

    const TABLE: &str = r#"
summary = "a student of an MAE, and the same network untrained"
seeds = [0, 1]
[[column]]
name = "k-NN"
metric = "knn_top1"
[[column]]
name = "fine-tuned"
finetune = ["eval.finetune.epochs=1"]
[[row]]
name = "student"
recipe = "maskdistill-cifar10"
set = { "train.epochs" = 4 }
[[row]]
name = "untrained"
of = "student"
baseline = "random_init"
"#;

    fn digests(text: &str, recipes: &Path, set: &[&str]) -> [String; 2] {
        let set = set.iter().map(|&text| text.to_owned()).collect();
        let layers = TableLayers { set, ..TableLayers::default() };
        let table = ResultTable::parse(text, Path::new("t.toml"), recipes, &layers).unwrap();
        [0, 1].map(|row| row_digest(&table, row, recipes).unwrap())
    }

    #[test]
    fn what_changes_a_rows_numbers_changes_its_digest() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes");
        let scratch = tempfile::tempdir().unwrap();
        let recipes = scratch.path();
        for name in ["maskdistill-cifar10.toml", "mae-cifar10.toml"] {
            fs::copy(own.join(name), recipes.join(name)).unwrap();
        }
        let first = digests(TABLE, recipes, &[]);
        assert_ne!(first[0], first[1], "a baseline's numbers are others");
        assert_eq!(first[0].len(), 64);
        assert_eq!(digests(TABLE, recipes, &["train.log_every=7", "about.summary=x"]), first);
        assert_eq!(digests(&TABLE.replace("k-NN", "neighbours"), recipes, &[]), first);
        for (from, to) in [
            ("[0, 1]", "[0, 2]"),
            ("\"train.epochs\" = 4", "\"train.epochs\" = 5"),
            ("finetune.epochs=1", "finetune.epochs=2"),
            ("\"knn_top1\"", "\"linear_top1\""),
        ] {
            let changed = digests(&TABLE.replace(from, to), recipes, &[]);
            assert!(changed[0] != first[0] && changed[1] != first[1], "{from}");
        }
        assert_ne!(digests(TABLE, recipes, &["train.epochs=5"]), first);
        let other = digests(&TABLE.replace("random_init", "raw_pixels"), recipes, &[]);
        assert!(other[0] == first[0] && other[1] != first[1]);
        let teacher = recipes.join("mae-cifar10.toml");
        let text =
            fs::read_to_string(&teacher).unwrap().replace("\n[train]\n", "\n[train]\nema = 0.9\n");
        fs::write(&teacher, text).unwrap();
        assert_ne!(digests(TABLE, recipes, &[])[0], first[0]);
    }
}
