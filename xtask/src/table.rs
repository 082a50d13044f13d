//! `table`: systems side by side, from many runs to a page and a table in the book.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use bauta_files::write_whole;
use bauta_recipe::claim::{Origin, ResultTable, TableLayers};
use bauta_report::{Made, Results, RowNumbers, TableRuns, row_digest};
use clap::Args;

use crate::bench::{Machine, processor};
use crate::interrupts::Interrupts;
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

/// The digest of a row's settings as they are now, under overrides; `None` if they are invalid.
type Present<'a> = &'a dyn Fn(usize, &[String]) -> Option<String>;

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
    /// Make only these rows, and those that show other numbers of the same runs
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
        self.load_with(workspace, &self.set)
    }

    /// The digest of a row's settings under these overrides.
    fn digest(&self, workspace: &Workspace, row: usize, set: &[String]) -> Result<String> {
        Ok(row_digest(&self.load_with(workspace, set)?, row, &workspace.recipes())?)
    }

    fn load_with(&self, workspace: &Workspace, set: &[String]) -> Result<ResultTable> {
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
        let (quick, set, seeds) = (self.quick, set.to_vec(), self.seeds.clone());
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
    let present = |row: usize, set: &[String]| arguments.digest(workspace, row, set).ok();
    if arguments.record {
        return keep(workspace, &table, &out, &folder, &present).map(|()| ExitCode::SUCCESS);
    }
    let rows = wanted(&table, &arguments.only)?;
    let mut results = rows_of(&table, &out.join(RECORD), ELSEWHERE, &present)?;
    let recipes = workspace.recipes();
    let own = rows.iter().filter(|&&row| matches!(table.rows[row].origin, Origin::Runs(_)));
    let cells = own.map(|&row| table.cells(row, &recipes)).collect::<Result<Vec<_>, _>>()?;
    cells.iter().try_for_each(|cells| set_up(workspace, cells))?;

    // Ctrl-C is for the program that trains; this one waits until it has written its checkpoint.
    let interrupts = Interrupts::hold()?;
    let program = Bauta::build(workspace)?;
    let call = |subcommand: &str| program.command(subcommand);
    let told = |line: &str| eprintln!("{line}");
    let runs = TableRuns { table: &table, out: &out, recipes: &recipes, call: &call, told: &told };
    let libtorch = Search::new(workspace)?.find_or_fetch()?.folder;
    let page = out.join("index.html");
    for &row in &rows {
        ensure!(!interrupts.seen(), "interrupted; the same command makes the remaining rows");
        runs.make(row)?;
        let found = runs.find(row)?;
        clear_others(&mut results, &table, row);
        let shown = &mut results.rows[row];
        shown.made = made(&found, &arguments.set, &Machine::read(workspace, &libtorch)?);
        (shown.numbers, shown.digest) = (found.numbers, Some(found.digest));
        shown.former = false;
        results.write(&out.join(RECORD))?;
        write_whole(&page, results.page().as_bytes())
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    println!("{}\npage: {}", results.markdown(), page.display());
    Ok(ExitCode::SUCCESS)
}

/// The rows' indices: all, or those of these names and those that show other numbers of the same
/// runs.
fn wanted(table: &ResultTable, only: &[String]) -> Result<Vec<usize>> {
    let names: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("no row is called {unknown}; the rows are: {}", names.join("; "));
    }
    let named = |row: &usize| only.is_empty() || only.iter().any(|name| name == names[*row]);
    let rows = 0..names.len();
    let owners: Vec<usize> = rows.clone().filter(named).map(|row| owner(table, row)).collect();
    Ok(rows.filter(|&row| owners.contains(&owner(table, row))).collect())
}

/// The row whose runs give a row its numbers, mostly its own.
fn owner(table: &ResultTable, row: usize) -> usize {
    match table.rows[row].origin {
        Origin::Row { place, .. } => place,
        Origin::Runs(_) => row,
    }
}

/// Clears the other rows that show this row's runs, until they show those that it has now.
fn clear_others(results: &mut Results, table: &ResultTable, row: usize) {
    for other in (row + 1..table.rows.len()).filter(|&other| owner(table, other) == row) {
        results.rows[other].clear();
    }
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

/// The table with the rows for which the file has numbers; those that are not known to be of the
/// present settings are marked as former. `remedy` says what to do if the file has other seeds or
/// columns.
fn rows_of(
    table: &ResultTable,
    file: &Path,
    remedy: &str,
    present: Present<'_>,
) -> Result<Results> {
    let results = Results::empty(table);
    if !file.is_file() {
        return Ok(results);
    }
    let taken = results.with_rows_of(Results::read(file)?);
    let mut results =
        taken.map_err(|differs| anyhow!("{} has {differs}; {remedy}", file.display()))?;
    // A row states its overrides, so rows with other ones may stand side by side.
    let is_present = |row: usize| {
        let made = results.rows[owner(table, row)].made.as_ref();
        let set = made.map_or(&[][..], |made| made.set.as_slice());
        let digest = &results.rows[row].digest;
        digest.is_some() && *digest == present(row, set)
    };
    let are_present: Vec<bool> = (0..table.rows.len()).map(is_present).collect();
    for (row, found) in results.rows.iter_mut().enumerate() {
        let of_present = are_present[row] && are_present[owner(table, row)];
        found.former = !found.is_empty() && !of_present;
    }
    Ok(results)
}

/// As [`rows_of`], without the rows of former settings, which are told: they can be made again.
fn present_rows_of(
    table: &ResultTable,
    file: &Path,
    remedy: &str,
    present: Present<'_>,
) -> Result<Results> {
    let mut results = rows_of(table, file, remedy, present)?;
    for row in results.rows.iter_mut().filter(|row| row.former) {
        eprintln!(
            "{}: row {} is left out: the settings of the table or its recipe may have changed since \
             it was made; make it again",
            file.display(),
            row.name
        );
        row.clear();
    }
    Ok(results)
}

/// Adds the finished rows of a table to its record in the book, which keeps those recorded before
/// and says which are of former settings, and writes the tables of all records.
fn keep(
    workspace: &Workspace,
    table: &ResultTable,
    out: &Path,
    name: &str,
    present: Present<'_>,
) -> Result<()> {
    let finished = out.join(RECORD);
    ensure!(
        finished.is_file(),
        "{} has no {RECORD}: no row is finished; finish one without --record first",
        out.display()
    );
    let rows = present_rows_of(table, &finished, ELSEWHERE, present)?;
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
    let mut results = rows_of(table, &record, remedy, present)?;
    for (row, _) in rows.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        clear_others(&mut results, table, row);
    }
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
mod tests;
