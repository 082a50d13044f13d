//! A claim's runs, one after another, and their verdict.
//!
//! Each run has a folder of its own below the claim's, like any other run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_recipe::claim::{Cell, Claim, Size};
use bauta_report::claims::{Findings, Fingerprint, claim_folder, page, sweep};
use bauta_train::Ranks;

use crate::run::{
    Folders, RunEnd, choose_device, choose_threads, device_name, remark, show_in_passing, tell,
};
use crate::start::run_resolved;

/// The arguments of `reproduce`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The claim file.
    claim: PathBuf,
    /// The folder of the recipes.
    #[arg(long, value_name = "DIR")]
    recipes: PathBuf,
    /// The claim's folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Use the claim's reduced form.
    #[arg(long)]
    quick: bool,
    /// Use the smallest size at which training makes a difference.
    #[arg(long, conflicts_with = "quick")]
    small: bool,
}

/// Makes a claim's runs, prints the table and the verdict, and writes the page.
///
/// # Errors
/// Any error of a run; finished runs are kept.
pub fn reproduce(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let Arguments { claim, recipes, out, quick, small } = arguments;
    let text = fs::read(claim).with_context(|| format!("cannot read {}", claim.display()))?;
    let claim = Claim::load(claim, Size::of(*quick, *small))?;
    let cells = claim.cells(recipes)?;
    show_in_passing();
    let _lock = claim_folder(out, &text)?;
    let name = Path::new(&claim.recipe).file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let teachers = out.parent().unwrap_or(out).join("teachers");
    let fingerprint = |cell: &Cell| -> Result<Fingerprint> {
        let train = &cell.recipe.train;
        let device = device_name(choose_device(train.device)?);
        Ok(Fingerprint::of_this_program(device, choose_threads(train.threads))?)
    };
    let make = |cell: &Cell, folder: &Path| {
        let (run, recipes, teachers) = (folder.to_owned(), recipes.clone(), teachers.clone());
        let folders = Folders { run, recipes, teachers };
        let end = run_resolved(&name, cell.recipe.clone(), &folders, true, stop, &Ranks::alone());
        if stop.load(Ordering::Relaxed) && !matches!(end, Ok(RunEnd::Finished(_))) {
            bail!("stopped; what is done is kept, go on with the same command");
        }
        match end? {
            RunEnd::Finished(summary) => Ok(*summary),
            RunEnd::Stopped(step) => bail!("stopped at step {step}"),
            _ => unreachable!("a run for its report"),
        }
    };
    let start = Instant::now();
    let summaries = sweep(&claim, &cells, out, fingerprint, make, |line| remark(line))?;
    let findings = Findings::new(&claim, &cells, &summaries, start.elapsed().as_secs_f64())?;
    let index = out.join("index.html");
    let written = write_whole(&index, page(&claim, &findings, &summaries)?.as_bytes())
        .with_context(|| format!("cannot write {}", index.display()));
    tell(format_args!("{findings}\n"))?;
    written?;
    tell(format_args!("page: {}\n", index.display()))
}
