//! A claim's runs, one after another, and what they say about the claim.
//!
//! Each run has a folder of its own below the claim's, like any other run. One
//! that is finished is not made again, one that was interrupted goes on from its
//! checkpoint, and one that another program or other settings made is put aside.

mod cell;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_recipe::claim::{Cell, Claim};
use bauta_report::Summary;
use bauta_report::claims::{Findings, metric, page, short};

pub use self::cell::{Fingerprint, State};
use crate::run::{Folders, RunEnd, show_in_passing};
use crate::start::run_resolved;

/// What `reproduce` is told.
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
    /// Take the claim's reduced form.
    #[arg(long)]
    quick: bool,
}

/// Makes a claim's runs, prints the table and the verdict, and writes the page.
///
/// # Errors
/// Whatever keeps a run from being made; finished runs stand.
pub fn reproduce(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let Arguments { claim, recipes, out, quick } = arguments;
    let text = fs::read(claim).with_context(|| format!("cannot read {}", claim.display()))?;
    let claim = Claim::load(claim, *quick)?;
    let cells = claim.cells(recipes)?;
    show_in_passing();
    let _lock = claim_folder(out, &text)?;
    let name = claim.recipe.clone();
    let teachers = out.parent().unwrap_or(out).join("teachers");
    let runner = |cell: &Cell, folder: &Path| {
        let (run, recipes, teachers) = (folder.to_owned(), recipes.clone(), teachers.clone());
        let folders = Folders { run, recipes, teachers };
        let end = run_resolved(&name, cell.recipe.clone(), &folders, true, stop);
        if stop.load(Ordering::Relaxed) && !matches!(end, Ok(RunEnd::Finished(_))) {
            bail!("stopped; what is done is kept, go on with the same command");
        }
        match end? {
            RunEnd::Finished(summary) => Ok(*summary),
            RunEnd::Stopped(step) => bail!("stopped at step {step}"),
            RunEnd::Trained | RunEnd::Timed(_) => unreachable!("a run for its report"),
        }
    };
    let start = Instant::now();
    let summaries = sweep(&claim, &cells, out, &Fingerprint::of_this_program, runner)?;
    let findings = Findings::new(&claim, &cells, &summaries, start.elapsed().as_secs_f64())?;
    println!("{findings}");
    let index = out.join("index.html");
    write_whole(&index, page(&claim, &findings, &summaries)?.as_bytes())
        .with_context(|| format!("cannot write {}", index.display()))?;
    println!("page: {}", index.display());
    Ok(())
}

/// Makes the folder or checks that it is a claim's, and holds it against other processes.
fn claim_folder(folder: &Path, claim: &[u8]) -> Result<File> {
    let refuse = || format!("cannot write {}", folder.display());
    fs::create_dir_all(folder).with_context(refuse)?;
    let copy = folder.join("claim.toml");
    let used = fs::read_dir(folder).with_context(refuse)?.next().is_some();
    if used && !copy.is_file() {
        bail!(
            "{} is not empty and holds no claim's runs; choose another folder with --out",
            folder.display()
        );
    }
    write_whole(&copy, claim).with_context(refuse)?;
    let lock = File::create(folder.join(".lock")).with_context(refuse)?;
    if lock.try_lock().is_err() {
        bail!("another process makes this claim's runs in {}", folder.display());
    }
    Ok(lock)
}

/// Makes the runs that are not there yet; a line for each.
///
/// # Errors
/// As `runner` or the file system has it, with the run's name.
pub fn sweep(
    claim: &Claim,
    cells: &[Cell],
    out: &Path,
    fingerprint: &dyn Fn(&Cell) -> Result<Fingerprint>,
    mut runner: impl FnMut(&Cell, &Path) -> Result<Summary>,
) -> Result<Vec<Summary>> {
    let mut summaries = Vec::with_capacity(cells.len());
    for (place, cell) in cells.iter().enumerate() {
        let folder = out.join(&cell.name);
        let fingerprint = fingerprint(cell)?;
        let start = Instant::now();
        let (summary, how) = match cell::state(&folder, cell, &fingerprint) {
            State::Finished(summary) => (*summary, "finished earlier".to_owned()),
            state => {
                let going_on = state == State::Begun;
                if let State::Foreign(why) = state {
                    let aside = cell::put_aside(out, &folder)?;
                    eprintln!("{}: {why}; put aside in {}", cell.name, aside.display());
                }
                cell::begin(&folder, &fingerprint)?;
                let summary = runner(cell, &folder).with_context(|| cell.name.clone())?;
                let taken = format!("{:.0} s", start.elapsed().as_secs_f64());
                (summary, if going_on { format!("{taken}, resumed") } else { taken })
            }
        };
        eprintln!("{}", line(claim, place, cells, &summary, &how)?);
        summaries.push(summary);
    }
    Ok(summaries)
}

/// `[2/8] mask.ratio 0.5, seed 0: linear_top1 0.4812, 1834 images/s (43 s)`
fn line(
    claim: &Claim,
    place: usize,
    cells: &[Cell],
    summary: &Summary,
    how: &str,
) -> Result<String> {
    let cell = &cells[place];
    let axis = claim.axis.as_ref().map_or_else(String::new, |key| format!("{key} "));
    Ok(format!(
        "[{}/{}] {axis}{}, seed {}: {} {}, {:.0} images/s ({how})",
        place + 1,
        cells.len(),
        claim.settings[cell.setting].label(),
        cell.seed,
        claim.metric,
        short(metric(summary, &claim.metric).with_context(|| cell.name.clone())?),
        summary.train.samples_per_second,
    ))
}
