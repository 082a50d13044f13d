//! `table`: systems side by side, from many runs to a page and a table in the book.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use bauta_files::write_whole;
use bauta_recipe::claim::{Origin, ResultTable, TableLayers};
use bauta_report::{Made, Results, RowNumbers, TableRuns};
use clap::Args;

use crate::bench::{Machine, processor};
use crate::libtorch::Search;
use crate::marked::Marked;
use crate::reproduce::set_up;
use crate::run::Bauta;
use crate::workspace::Workspace;

/// The tables of all records.
const TABLES: Marked = Marked {
    page: "docs/table.md",
    marks: ["<!-- tables -->", "<!-- end of tables -->"],
    records: "docs/tables",
    command: "cargo xtask table NAME --record",
};

/// The record of the rows that are finished, in the table's folder.
const RECORD: &str = "table.json";

/// What to do about a folder whose rows are of other seeds or columns.
const ELSEWHERE: &str = "choose another folder with --out";

/// The arguments of `table`.
#[derive(Args)]
pub struct Arguments {
    /// Name of a table, or path of a .toml file
    table: String,
    /// Use each recipe's own short version, to check that everything works
    #[arg(long)]
    quick: bool,
    /// Seeds of every row, instead of the table's
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Make only these rows, and those that show other numbers of their runs
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Override a key of every recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The table's folder, runs/tables/TABLE (TABLE-quick with --quick) if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make no runs: put the finished rows of the folder into docs/table.md
    #[arg(long, conflicts_with_all = ["seeds", "only", "set"])]
    record: bool,
}

impl Arguments {
    /// The table that is asked for.
    pub fn load(&self, workspace: &Workspace) -> Result<ResultTable> {
        let path = if self.table.ends_with(".toml") {
            PathBuf::from(&self.table)
        } else {
            let known = bauta_recipe::names(&workspace.tables())?;
            ensure!(
                known.contains(&self.table),
                "no table named {}; the tables are: {}",
                self.table,
                known.join(", ")
            );
            workspace.tables().join(format!("{}.toml", self.table))
        };
        let (quick, set, seeds) = (self.quick, self.set.clone(), self.seeds.clone());
        let layers = TableLayers { quick, set, seeds };
        Ok(ResultTable::load(&path, &workspace.recipes(), &layers)?)
    }
}

/// Makes the missing runs, and the page of all; every mistake in the arguments is found before
/// anything is set up.
pub fn table(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let table = arguments.load(workspace)?;
    let folder = if table.quick { format!("{}-quick", table.name) } else { table.name.clone() };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| workspace.shown(&workspace.root.join("runs/tables").join(&folder)));
    if arguments.record {
        return keep(workspace, &table, &out, &folder).map(|()| ExitCode::SUCCESS);
    }
    let rows = wanted(&table, &arguments.only)?;
    let mut results = with_rows_of(Results::empty(&table), &out.join(RECORD), ELSEWHERE)?;
    let recipes = workspace.recipes();
    let own = rows.iter().filter(|&&row| matches!(table.rows[row].origin, Origin::Runs(_)));
    let cells = own.map(|&row| table.cells(row, &recipes)).collect::<Result<Vec<_>, _>>()?;
    cells.iter().try_for_each(|cells| set_up(workspace, cells))?;

    // Ctrl-C is for the program that trains; this one waits until it has written its checkpoint.
    let _ = ctrlc::set_handler(|| ());
    let program = Bauta::build(workspace)?;
    let call = |subcommand: &str| program.command(subcommand);
    let told = |line: &str| eprintln!("{line}");
    let runs = TableRuns { table: &table, out: &out, recipes: &recipes, call: &call, told: &told };
    let libtorch = Search::new(workspace)?.find_or_fetch()?.folder;
    let page = out.join("index.html");
    for &row in &rows {
        runs.make(row)?;
        let found = runs.find(row)?;
        results.rows[row].made =
            made(&found, &arguments.set, &Machine::read(workspace, &libtorch)?);
        results.rows[row].numbers = found.numbers;
        results.write(&out.join(RECORD))?;
        write_whole(&page, results.page().as_bytes())
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    println!("{}\npage: {}", results.markdown(), page.display());
    Ok(ExitCode::SUCCESS)
}

/// The rows' indices: all, or those of these names and those that show other numbers of their runs.
fn wanted(table: &ResultTable, only: &[String]) -> Result<Vec<usize>> {
    let names: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("no row is called {unknown}; the rows are: {}", names.join(", "));
    }
    let named = |row: usize| only.is_empty() || only.iter().any(|name| name == names[row]);
    let asked = |row: &usize| match table.rows[*row].origin {
        Origin::Row { place, .. } => named(*row) || named(place),
        Origin::Runs(_) => named(*row),
    };
    Ok((0..names.len()).filter(asked).collect())
}

/// Where a row's own runs were made, and when; `None` for a row that shows another's.
fn made(found: &RowNumbers, set: &[String], machine: &Machine) -> Option<Made> {
    let mut machines: Vec<String> = Vec::new();
    for summary in &found.summaries {
        let on = summary.machine(&processor());
        if !machines.contains(&on) {
            machines.push(on);
        }
    }
    (!machines.is_empty()).then(|| Made {
        minutes: (found.seconds / 6.0).round() / 10.0,
        machine: machines.join("; "),
        set: set.to_vec(),
        version: machine.version.to_owned(),
        commit: machine.commit.clone(),
        date: machine.date.clone(),
    })
}

/// These results, with the rows for which the file has numbers; `remedy` says what to do if they
/// are of other seeds or columns.
fn with_rows_of(results: Results, file: &Path, remedy: &str) -> Result<Results> {
    if !file.is_file() {
        return Ok(results);
    }
    let taken = results.with_rows_of(Results::read(file)?);
    taken.map_err(|differs| anyhow!("{} has {differs}; {remedy}", file.display()))
}

/// Adds the finished rows of a table to its record in the book, which keeps those recorded before,
/// and writes the tables of all records.
fn keep(workspace: &Workspace, table: &ResultTable, out: &Path, name: &str) -> Result<()> {
    let finished = out.join(RECORD);
    ensure!(
        finished.is_file(),
        "{} has no {RECORD}: no row is finished; finish one without --record first",
        out.display()
    );
    let rows = with_rows_of(Results::empty(table), &finished, ELSEWHERE)?;
    ensure!(
        rows.rows.iter().any(|row| !row.is_empty()),
        "{} has no finished row of the table {}, so nothing is recorded",
        finished.display(),
        table.name
    );
    let folder = workspace.root.join(TABLES.records);
    fs::create_dir_all(&folder)?;
    let record = folder.join(format!("{name}.json"));
    let remedy = "remove this record if the table has changed";
    let results = with_rows_of(Results::empty(table), &record, remedy)?;
    results.with_rows_of(rows).map_err(Error::msg)?.write(&record)?;
    TABLES.write(workspace, &tables(workspace)?)
}

/// Fails unless the page has the tables of all records.
pub fn check(workspace: &Workspace) -> Result<()> {
    TABLES.check(workspace, &tables(workspace)?)
}

/// The records, by name.
fn records(workspace: &Workspace) -> Result<Vec<(String, Results)>> {
    let paths = TABLES.records(workspace)?;
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, Results::read(path)?))
    };
    paths.iter().map(read).collect()
}

/// All records in Markdown.
fn tables(workspace: &Workspace) -> Result<String> {
    let records = records(workspace)?;
    let tables: Vec<String> = records.iter().map(|(_, table)| table.markdown()).collect();
    Ok(match &tables[..] {
        [] => "No table has been recorded yet.\n".to_owned(),
        tables => tables.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, quick: bool) -> ResultTable {
        let workspace = Workspace::find().unwrap();
        let path = workspace.tables().join(format!("{name}.toml"));
        let layers = TableLayers { quick, ..TableLayers::default() };
        ResultTable::load(&path, &workspace.recipes(), &layers).unwrap()
    }

    #[test]
    fn every_table_of_the_workspace_plans_its_runs_in_both_sizes() {
        let workspace = Workspace::find().unwrap();
        let names = bauta_recipe::names(&workspace.tables()).unwrap();
        assert!(names.len() >= 2, "{names:?}");
        for (name, quick) in names.iter().flat_map(|name| [(name, false), (name, true)]) {
            let table = load(name, quick);
            for row in 0..table.rows.len() {
                let cells = table.cells(row, &workspace.recipes()).unwrap();
                assert_eq!(cells.len(), table.seeds.len(), "{name}");
            }
            assert!(quick || table.seeds.len() == 3, "{name} is over three seeds");
        }
    }

    #[test]
    fn the_book_has_the_tables_of_the_records_and_these_are_of_tables_that_there_are() {
        let workspace = Workspace::find().unwrap();
        for (name, record) in records(&workspace).unwrap() {
            let file =
                if record.quick { format!("{}-quick", record.table) } else { record.table.clone() };
            assert_eq!(name, file);
            let table = load(&record.table, record.quick);
            let rows: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
            let recorded: Vec<&str> = record.rows.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(rows, recorded, "{name}");
            let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(columns, record.columns, "{name}");
        }
        check(&workspace).unwrap();
    }

    #[test]
    fn a_record_keeps_earlier_rows_and_takes_nothing_of_other_seeds_or_names() {
        let scratch = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: scratch.path().to_owned() };
        let (out, [begin, end]) = (scratch.path().join("out"), TABLES.marks);
        fs::create_dir_all(&out).unwrap();
        fs::create_dir_all(scratch.path().join("docs")).unwrap();
        fs::write(scratch.path().join(TABLES.page), format!("{begin}\n{end}\n")).unwrap();
        let table = load("images-cifar10", false);
        let record_row = |name: &str, seeds: &[u64]| {
            let mut results = Results { seeds: seeds.to_vec(), ..Results::empty(&table) };
            results.rows.truncate(1);
            name.clone_into(&mut results.rows[0].name);
            results.rows[0].numbers[0] = vec![0.5; seeds.len()];
            results.write(&out.join(RECORD)).unwrap();
            keep(&workspace, &table, &out, &table.name)
        };
        for (name, seeds, message) in [
            ("MAE", vec![0], "has the seeds 0, not 0, 1, 2; choose another folder with --out"),
            ("gone", vec![0, 1, 2], "has no finished row of the table images-cifar10"),
        ] {
            let error = record_row(name, &seeds).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(records(&workspace).unwrap().is_empty());
        }
        record_row("MAE", &table.seeds).unwrap();
        record_row("dBOT", &table.seeds).unwrap();
        let (_, recorded) = records(&workspace).unwrap().remove(0);
        let full = recorded.rows.iter().filter(|row| !row.is_empty());
        assert_eq!(full.map(|row| row.name.as_str()).collect::<Vec<_>>(), ["MAE", "dBOT"]);
        assert_eq!(recorded.rows.len(), table.rows.len());
        check(&workspace).unwrap();
    }

    #[test]
    fn a_folder_with_rows_of_other_seeds_is_refused_before_anything_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join(RECORD);
        Results::empty(&load("images-cifar10", false)).write(&file).unwrap();
        let before = fs::read(&file).unwrap();
        let arguments = Arguments {
            table: "images-cifar10".to_owned(),
            quick: false,
            seeds: vec![0],
            only: vec!["MAE".to_owned()],
            set: Vec::new(),
            out: Some(scratch.path().to_owned()),
            record: false,
        };
        let error = table(&Workspace::find().unwrap(), &arguments).unwrap_err().to_string();
        let message = "has the seeds 0, 1, 2, not 0; choose another folder with --out";
        assert_eq!(error, format!("{} {message}", file.display()));
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn rows_are_asked_for_by_their_names() {
        let table = load("images-cifar10", false);
        let place = |name: &str| table.rows.iter().position(|row| row.name == name).unwrap();
        let wanted_with = |name: &str| wanted(&table, &[name.to_owned()]).unwrap();
        assert_eq!(wanted_with("dBOT"), [place("dBOT")]);
        assert_eq!(wanted_with("raw pixels"), [place("raw pixels")]);
        assert_eq!(wanted_with("MAE"), [place("MAE"), place("untrained ViT"), place("raw pixels")]);
        assert_eq!(wanted(&table, &[]).unwrap().len(), table.rows.len());
        let error = wanted(&table, &["nothing".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no row is called nothing; the rows are: MAE, "), "{error}");
    }
}
