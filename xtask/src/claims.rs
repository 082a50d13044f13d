//! `claims`: the verdicts of the claims that were run, as records and as a table of the book.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bauta_recipe::claim::{self, Claim, Size};
use bauta_report::claims::{Record, finished, table};
use clap::Args;

use crate::bench::{commit, processor};
use crate::marked::Marked;
use crate::workspace::Workspace;

/// The table of all records.
const TABLE: Marked = Marked {
    page: "docs/claims.md",
    marks: ["<!-- verdicts -->", "<!-- end of verdicts -->"],
    records: "docs/verdicts",
    command: "cargo xtask claims --table",
};

/// The arguments of `claims`.
#[derive(Args)]
pub struct Arguments {
    /// Record the verdict of finished runs first: folders of `reproduce`, called NAME, NAME-small
    /// or NAME-quick
    #[arg(long, value_name = "DIR")]
    record: Vec<PathBuf>,
    /// Write the table of all records into docs/claims.md
    #[arg(long)]
    table: bool,
}

/// Records verdicts and writes their table.
pub fn claims(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.record.is_empty() && !arguments.table {
        bail!("say what to do: --record DIR, --table, or both");
    }
    for folder in &arguments.record {
        record(workspace, folder)?;
    }
    if arguments.table {
        TABLE.write(workspace, &rows(workspace)?)?;
    }
    Ok(())
}

/// Fails unless the page has the table that [`claims`] would write.
pub fn check(workspace: &Workspace) -> Result<()> {
    TABLE.check(workspace, &rows(workspace)?)
}

/// Writes the record of a claim's finished runs; a remark of an earlier record stays if it still
/// explains what was found.
fn record(workspace: &Workspace, folder: &Path) -> Result<()> {
    let called = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (name, size) = Size::of_file_name(&called);
    let claim = Claim::load(&claim::find(&workspace.claims(), name)?, size).with_context(|| {
        format!("the folder {} must have the name of a claim", folder.display())
    })?;
    let cells = claim.cells(&workspace.recipes())?;
    let summaries = finished(&cells, folder)?;
    let path = workspace.root.join(TABLE.records).join(format!("{called}.json"));
    let mut record = Record::new(&claim, &cells, &summaries, &processor())?;
    record.commit = commit(workspace);
    let dropped = if path.is_file() { record.keep_remark(Record::read(&path)?) } else { None };
    fs::create_dir_all(workspace.root.join(TABLE.records))?;
    record.write(&path)?;
    let shown = workspace.shown(&path);
    println!("recorded: {}", shown.display());
    if let Some(remark) = dropped {
        let file = shown.display();
        println!(
            "the remark of the former run was dropped: write a new one in {file}; it was: {remark}"
        );
    }
    Ok(())
}

/// The table of all records.
fn rows(workspace: &Workspace) -> Result<String> {
    let paths = TABLE.records(workspace)?;
    let records = paths.iter().map(|path| Record::read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(table(&records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_of_a_claim_that_there_is_and_has_its_settings() {
        let workspace = Workspace::find().unwrap();
        let mut found = 0;
        for path in TABLE.records(&workspace).unwrap() {
            let record = Record::read(&path).unwrap();
            assert_eq!(path.file_stem().unwrap(), &*record.size.file_name(&record.claim));
            let known = claim::find(&workspace.claims(), &record.claim).unwrap();
            let claim = Claim::load(&known, record.size).unwrap();
            let labels: Vec<&str> = claim.settings.iter().map(|setting| setting.label()).collect();
            let recorded: Vec<&str> =
                record.settings.iter().map(|(label, _)| label.as_str()).collect();
            assert_eq!(labels, recorded, "{}", path.display());
            assert_eq!(claim.holds.len() + claim.narrows.len(), record.sentences.len());
            let all = record.sentences.iter().all(|sentence| sentence.starts_with("held"));
            assert_eq!(all, record.held, "{}", path.display());
            let explained = record.held || record.remark.is_some();
            assert!(explained, "{}: a remark must say why it did not hold", path.display());
            found += 1;
        }
        assert!(found > 0, "there are no records");
        check(&workspace).unwrap();
    }
}
