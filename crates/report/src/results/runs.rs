//! Makes the runs of a table of results: each row's with the program's `reproduce`, then each
//! fine-tuning with its `finetune`.
//!
//! Finished runs are not repeated, and interrupted ones are resumed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bauta_files::write_whole;
use bauta_recipe::FineTuneSettings;
use bauta_recipe::claim::{
    Cell, ClaimError, Measure, Origin, ResultColumn, ResultRow, ResultTable, UNTRAINED,
};
use serde_json::Value;

use super::digest::row_digest;
use crate::claims::{finished, metric};
use crate::{ReportError, Summary};

/// The folder of a table's runs, and the program that makes them.
pub struct TableRuns<'a> {
    /// The table.
    pub table: &'a ResultTable,
    /// The folder of the table.
    pub out: &'a Path,
    /// The folder of the recipes.
    pub recipes: &'a Path,
    /// Builds a call of one of the program's subcommands.
    pub call: &'a dyn Fn(&str) -> Command,
    /// Receives a line about each fine-tuning.
    pub told: &'a dyn Fn(&str),
}

/// The numbers of a row, and their cost.
#[derive(Clone, Debug)]
pub struct RowNumbers {
    /// Per column, one number per seed.
    pub numbers: Vec<Vec<f64>>,
    /// The summaries of the row's own runs; empty if another row's runs are shown.
    pub summaries: Vec<Summary>,
    /// Seconds of training, evaluation and fine-tuning, without those of another row's runs.
    pub seconds: f64,
    /// The row's [`digest`](crate::ResultsRow::digest).
    pub digest: String,
}

impl TableRuns<'_> {
    /// Makes the missing runs of the row at this index.
    ///
    /// # Errors
    /// When a file cannot be written or read, and [`ReportError::Row`] for a row whose program
    /// fails; its own messages say why.
    pub fn make(&self, place: usize) -> Result<(), ReportError> {
        let row = &self.table.rows[place];
        let claim = self.table.claim(place);
        let file = self.out.join(format!("{}.toml", claim.name));
        fs::create_dir_all(self.out)
            .and_then(|()| write_whole(&file, claim.to_toml().as_bytes()))
            .map_err(ReportError::write(&file))?;
        let absolute = |path| std::path::absolute(path).map_err(ReportError::read(path));
        let mut command = (self.call)("reproduce");
        command.arg(absolute(&file)?);
        command.arg("--recipes").arg(absolute(self.recipes)?);
        command.arg("--out").arg(self.folder(place));
        self.complete(command, row)?;
        let cells = self.table.cells(place, self.recipes)?;
        for column in &self.table.columns {
            for cell in &cells {
                if let Some(tuning) = self.tuning(place, column, cell)? {
                    self.tune(&tuning, row, column, cell)?;
                }
            }
        }
        Ok(())
    }

    /// The numbers of the row at this index, whose runs are all finished.
    ///
    /// # Errors
    /// When a run is missing, unfinished, of other settings, or has no such metric.
    pub fn find(&self, place: usize) -> Result<RowNumbers, ReportError> {
        let row = &self.table.rows[place];
        let cells = self.table.cells(place, self.recipes)?;
        let summaries = finished(&cells, &self.folder(place))?;
        let own = matches!(row.origin, Origin::Runs(_));
        let of_run = |summary: &Summary| summary.train.seconds + summary.eval_seconds;
        let mut seconds = if own { summaries.iter().map(of_run).sum() } else { 0.0 };
        let mut numbers = Vec::new();
        for column in &self.table.columns {
            numbers.push(match row.metric_of(&column.measure) {
                Some(name) => of_summaries(&name, &summaries, row)?,
                None => {
                    let mut tuned = Vec::new();
                    for cell in &cells {
                        if let Some(tuning) = self.tuning(place, column, cell)? {
                            let result = tuning.result()?;
                            tuned.push(tuning.accuracy(&result)?);
                            let took = |key: &str| result[key].as_f64().unwrap_or(0.0);
                            seconds += took("seconds") + took("eval_seconds");
                        }
                    }
                    tuned
                }
            });
        }
        let summaries = if own { summaries } else { Vec::new() };
        let digest = row_digest(self.table, place, self.recipes)?;
        Ok(RowNumbers { numbers, summaries, seconds, digest })
    }

    /// The folder of the runs that give a row its numbers.
    fn folder(&self, place: usize) -> PathBuf {
        self.out.join(&self.table.claim(place).name)
    }

    /// The fine-tuning of one of a row's runs that a column asks for.
    fn tuning(
        &self,
        place: usize,
        column: &ResultColumn,
        cell: &Cell,
    ) -> Result<Option<Tuning>, ReportError> {
        let row = &self.table.rows[place];
        let Measure::FineTune(set) = &column.measure else { return Ok(None) };
        if !row.finetune {
            return Ok(None);
        }
        let settings = serde_json::to_value(&cell.recipe.settings);
        let settings = settings.expect("a recipe is plain data");
        let data = |key: &str| settings["data"][key].as_str().map(str::to_owned);
        let nameless = || row_error(row, "its data set has no name, so nothing can be fine-tuned");
        let named = data("name").ok_or_else(nameless)?;
        // Without it, pictures of one's own that have no test split could not be measured on.
        let held_out = settings["data"]["holdout"].as_f64();
        // The settings of the column take precedence.
        let mut settings = vec![format!("seed={}", cell.seed)];
        settings.extend(data("root").map(|root| format!("data.root={root}")));
        settings.extend(held_out.map(|part| format!("data.holdout={part}")));
        settings.push(format!("train.threads={}", cell.recipe.train.threads));
        settings.push(format!("train.device={}", cell.recipe.train.device));
        settings.extend(set.iter().cloned());
        let scratch = matches!(&row.origin,
            Origin::Row { baseline: Some(baseline), .. } if baseline == UNTRAINED);
        let run = self.folder(place).join(&cell.name);
        let folder = column.folder();
        let folder = run.join(if scratch { format!("{folder}-scratch") } else { folder });
        let model = run.join("checkpoints/last");
        Ok(Some(Tuning { model, scratch, data: named, settings, folder }))
    }

    fn tune(
        &self,
        tuning: &Tuning,
        row: &ResultRow,
        column: &ResultColumn,
        cell: &Cell,
    ) -> Result<(), ReportError> {
        let what = format!("{}, {}, seed {}", row.name, column.name, cell.seed);
        let how = if tuning.is_finished()? {
            "finished earlier".to_owned()
        } else {
            self.complete(tuning.command((self.call)("finetune")), row)?;
            format!("{:.0} s", tuning.result()?["seconds"].as_f64().unwrap_or(0.0))
        };
        (self.told)(&format!("{what}: {:.4} ({how})", tuning.accuracy(&tuning.result()?)?));
        Ok(())
    }

    /// Runs a command to its end; its own messages say what went wrong.
    fn complete(&self, mut command: Command, row: &ResultRow) -> Result<(), ReportError> {
        // The table of a single row that it prints is of no interest here.
        let status = command.stdout(Stdio::null()).status();
        let program = Path::new(command.get_program()).display();
        let status =
            status.map_err(|error| row_error(row, &format!("cannot start {program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let kept = "what is done is kept, go on with the same command";
        Err(row_error(row, &format!("it is not finished ({status}); {kept}")))
    }
}

/// One fine-tuning, in a folder of its own within a run's.
struct Tuning {
    model: PathBuf,
    scratch: bool,
    data: String,
    settings: Vec<String>,
    folder: PathBuf,
}

impl Tuning {
    fn command(&self, mut command: Command) -> Command {
        command.arg(if self.scratch { "--scratch-like" } else { "--model" }).arg(&self.model);
        command.args(["--data", &self.data]).arg("--out").arg(&self.folder).arg("--resume");
        for set in &self.settings {
            command.args(["--set", set]);
        }
        command
    }

    /// Whether it is finished with these settings; the program refuses to resume with others.
    fn is_finished(&self) -> Result<bool, ReportError> {
        if !self.file().is_file() {
            return Ok(false);
        }
        let wanted = FineTuneSettings::parse(&self.settings).map_err(ClaimError::from)?;
        let wanted = serde_json::to_value(wanted).expect("settings are plain data");
        Ok(self.result()?["settings"] == wanted)
    }

    fn result(&self) -> Result<Value, ReportError> {
        let path = self.file();
        let text = fs::read(&path).map_err(ReportError::read(&path))?;
        serde_json::from_slice(&text)
            .map_err(|error| ReportError::Unusable { path, message: error.to_string() })
    }

    /// The top-1 accuracy of its result.
    fn accuracy(&self, result: &Value) -> Result<f64, ReportError> {
        let metrics = result["metrics"].as_object();
        let found = metrics.and_then(|all| all.iter().find(|(name, _)| name.ends_with("top1")));
        found.and_then(|(_, value)| value.as_f64()).ok_or_else(|| {
            let message = "it has no top-1 accuracy".to_owned();
            ReportError::Unusable { path: self.file(), message }
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.join("result.json")
    }
}

/// A metric of all summaries; empty if a baseline does not have it.
fn of_summaries(
    name: &str,
    summaries: &[Summary],
    row: &ResultRow,
) -> Result<Vec<f64>, ReportError> {
    let values: Result<Vec<f64>, _> = summaries.iter().map(|one| metric(one, name)).collect();
    match values {
        Err(ReportError::NoMetric { .. })
            if matches!(&row.origin, Origin::Row { baseline: Some(_), .. }) =>
        {
            Ok(Vec::new())
        }
        values => values.map_err(|error| row_error(row, &error.to_string())),
    }
}

fn row_error(row: &ResultRow, reason: &str) -> ReportError {
    ReportError::Row { row: row.name.clone(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use bauta_recipe::claim::TableLayers;

    use super::*;

    const TABLE: &str = r#"
summary = "pictures of one's own"
seeds = [0]
[[column]]
name = "fine-tuned"
finetune = ["eval.finetune.epochs=1"]
[[row]]
name = "MAE"
recipe = "mae-cifar10"
set = { "data.name" = "folder", "data.root" = "/pictures", "data.holdout" = 0.25 }
"#;

    #[test]
    fn a_fine_tuning_holds_out_what_its_recipe_holds_out() {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes");
        let layers = TableLayers::default();
        let table = ResultTable::parse(TABLE, Path::new("own.toml"), &recipes, &layers).unwrap();
        let (out, call, told) = (Path::new("out"), |_: &str| Command::new("none"), |_: &str| ());
        let runs = TableRuns { table: &table, out, recipes: &recipes, call: &call, told: &told };
        let cells = table.cells(0, &recipes).unwrap();
        let tuning = runs.tuning(0, &table.columns[0], &cells[0]).unwrap().unwrap();
        assert_eq!(tuning.data, "folder");
        for setting in ["data.root=/pictures", "data.holdout=0.25", "eval.finetune.epochs=1"] {
            assert!(tuning.settings.iter().any(|set| set == setting), "{:?}", tuning.settings);
        }
        assert!(FineTuneSettings::parse(&tuning.settings).is_ok());
    }
}
