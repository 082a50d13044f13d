//! *Every key*, from the recipe types and the comments of their fields.

use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result};
use bauta_recipe::reading::{KeyDescription, describe};
use bauta_recipe::{DenseSettings, FineTuneSettings, System, limit};
use strum::VariantArray;

use super::fields::{Field, Structs};
use super::page::{Row, tables};

/// The struct of the keys that every recipe has in addition to its system's settings.
const COMMON: &str = "Common";

/// Units of keys that have no limit, by the key's last part.
const UNITS: [(&str, &str); 9] = [
    ("checkpoint_every", "steps"),
    ("limit", "samples"),
    ("log_every", "steps"),
    ("milestones", "epochs"),
    ("minutes", "minutes"),
    ("percents", "per cent"),
    ("shift", "pixels"),
    ("stride", "pixels"),
    ("warmup_epochs", "epochs"),
];

const HEAD: &str = "\
# Every key

What does a key mean, which values does it take, and what is its default?

Written by `cargo xtask docs` from the types in `crates/recipe`; `cargo xtask check` fails if it is
out of date. *Required* keys have no default; for a default of *none* the text says what happens.
Values above a limit (*at most*) are refused. Which tables a system has: [Recipes](recipes.md).

## Recipes

";

const FINE_TUNING: &str = "
## `cargo xtask finetune`

These keys are set with `--set key=value`; there is no recipe. The protocol: [Fine-tuning](finetuning.md).

";

const DENSE: &str = "
## `cargo xtask segment` and `detect`

These keys are set with `--set key=value`; there is no recipe. The tasks: [Dense tasks](dense-tasks.md).

";

/// The page, for the sources below `root`.
pub fn page(root: &Path) -> Result<String> {
    let structs = Structs::read(root)?;
    let mut rows: Vec<Row> = Vec::new();
    for &system in System::VARIANTS {
        let own = format!("{system:?}");
        for described in system.describe_keys() {
            let row = row(&structs, &[COMMON, &own], described)?;
            let of_system = system.to_string();
            match rows.iter_mut().find(|known| known.says_the_same(&row)) {
                Some(known) => known.systems.push(of_system),
                None => rows.push(Row { systems: vec![of_system], ..row }),
            }
        }
    }
    let all = System::VARIANTS.len();
    for row in rows.iter_mut().filter(|row| row.systems.len() == all) {
        row.systems = vec!["all".to_owned()];
    }
    let fine_tuning = rows_of::<FineTuneSettings>(&structs, describe::<FineTuneSettings>())?;
    let dense = rows_of::<DenseSettings>(&structs, describe::<DenseSettings>())?;
    let recipes = tables(&rows);
    Ok([HEAD, &recipes, FINE_TUNING, &tables(&fine_tuning), DENSE, &tables(&dense)].concat())
}

/// The rows of settings of type `T`, which belong to no system.
fn rows_of<T: Default + Debug>(
    structs: &Structs,
    described: Vec<KeyDescription>,
) -> Result<Vec<Row>> {
    let name = std::any::type_name::<T>();
    let name = name.rsplit("::").next().unwrap_or(name);
    described.into_iter().map(|described| row(structs, &[name], described)).collect()
}

fn row(structs: &Structs, names: &[&str], described: KeyDescription) -> Result<Row> {
    let KeyDescription { key, takes, required, default } = described;
    let default = match (required, default) {
        (true, _) => "*required*".to_owned(),
        (false, Some(value)) => format!("`{value}`"),
        (false, None) => "*none*".to_owned(),
    };
    let (takes, text) = if key == "system" {
        ("name".to_owned(), "The system that reads the recipe.".to_owned())
    } else {
        let field = names.iter().find_map(|name| structs.field(name, &key));
        let Field { types, doc, .. } =
            field.with_context(|| format!("no field of {names:?} is the key {key}"))?;
        (in_words(takes, types), doc.clone())
    };
    let last = key.rsplit('.').next().unwrap_or(&key);
    let limit = limit(&key);
    let unit = limit
        .map(|limit| limit.unit)
        .or_else(|| UNITS.iter().find(|(name, _)| *name == last).map(|(_, unit)| *unit));
    Ok(Row {
        takes,
        unit: unit.unwrap_or_default().to_owned(),
        most: limit.map(|limit| limit.most),
        default,
        text,
        key,
        systems: Vec::new(),
    })
}

/// The kind of value that a key takes; the field's type determines the elements of a list, and
/// which texts are paths.
fn in_words(takes: String, types: &[String]) -> String {
    let has = |word: &str| types.iter().any(|part| part == word);
    let element = match () {
        () if has("f64") => "numbers",
        () if has("usize") || has("u32") || has("u64") => "integers",
        () if has("String") => "texts",
        () => "names",
    };
    match takes.as_str() {
        "list" if has("[]") => format!("{} {element}", types.last().map_or("", String::as_str)),
        "list" => format!("list of {element}"),
        "text" if has("PathBuf") => "path".to_owned(),
        "value" if has("ImageSize") => "integer, or two".to_owned(),
        _ => takes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn every_key_has_a_row_with_its_meaning() {
        let page = page(root()).unwrap();
        for key in bauta_recipe::known_keys() {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let text = row.and_then(|row| row.split('|').nth(6)).unwrap_or_default();
            assert!(text.trim().len() > 5, "{key}: {row:?}");
        }
        for row in [
            "| `train.batch_size` | integer, at most 65,536 | images | *required* | all | ",
            "| `mask.strategy` | \"random\", \"block\", \"grid\", \"tube\", \"frame\" |  | `\"random\"` | mae, ",
            "| `train.betas` | 2 numbers |  | `[0.9, 0.95]` | all | ",
            "| `data.root` | path |  | *none* | mae, dbot, maskdistill, i-mae, ",
            "| `stages.count` | integer, at most 100 | stages | `2` | dbot | ",
        ] {
            assert!(page.contains(row), "{row}");
        }
    }

    #[test]
    fn every_unit_is_of_a_key() {
        let known = bauta_recipe::known_keys();
        for (name, _) in UNITS {
            assert!(known.iter().any(|key| key.ends_with(&format!(".{name}"))), "{name}");
        }
    }
}
