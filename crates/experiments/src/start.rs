//! From a recipe's file to a finished run.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bauta_recipe::{Layers, Recipe};
use bauta_train::{Ranks, Variables};
use nix::sys::signal::{SigSet, Signal, raise};

use crate::run::{Aim, Folders, Launch, RunEnd, digest, remark, show_in_passing};
use crate::systems::launch;

/// What to run and where.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The recipe file.
    pub recipe: PathBuf,
    /// The layers over the recipe.
    pub layers: Layers,
    /// The run folder.
    pub out: PathBuf,
    /// Continue from the folder's last checkpoint, if there is one.
    pub resume: bool,
}

/// Trains and evaluates a recipe; setting `stop` ends it early. Processes that a launcher started
/// together train it together, and the first of them evaluates it with their help.
///
/// # Errors
/// With a message that says what to do; the last checkpoint is kept.
pub fn run(options: &RunOptions, stop: &AtomicBool) -> Result<RunEnd> {
    let recipe = Recipe::load(&options.recipe, &options.layers)?;
    let name = options.recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folders = Folders::beside(&options.recipe, &options.out);
    let ranks = match Variables::read(|name| std::env::var(name).ok())? {
        Some(variables) => {
            let folder = std::path::absolute(&options.out)?;
            let start = format!("{} {} {}", digest(&recipe)?, folder.display(), options.resume);
            Ranks::meet(&variables, &start)?
        }
        None => Ranks::alone(),
    };
    run_resolved(&name, recipe, &folders, options.resume, stop, &ranks)
}

/// Trains and evaluates a resolved recipe of this name, as [`run`] does.
///
/// # Errors
/// As [`run`].
pub fn run_resolved(
    name: &str,
    recipe: Recipe,
    folders: &Folders,
    resume: bool,
    stop: &AtomicBool,
    ranks: &Ranks,
) -> Result<RunEnd> {
    let aim = if ranks.leads() { Aim::Report } else { Aim::Assist };
    if !ranks.leads() {
        show_in_passing();
    }
    launch(recipe, &Launch { name, folders, aim, resume, stop, ranks, launch })
}

/// Signals within this time ask for one stop: SLURM sends SIGTERM twice when it preempts a job.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// Makes Ctrl-C, termination and hangups finish the current step instead of killing the run; a
/// signal more than a second later quits at once. Hangups that are ignored, as under nohup, stay ignored.
///
/// # Errors
/// When the handler cannot be set.
pub fn stop_on_signals() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    if hangups_are_ignored() {
        // Blocked before the handler's thread starts, they reach no thread.
        let hangup = SigSet::from_iter([Signal::SIGHUP]);
        hangup.thread_block().context("cannot block hangups")?;
    }
    ctrlc::set_handler(|| {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let first = FIRST.get_or_init(Instant::now);
        if STOP.swap(true, Ordering::Relaxed) {
            if first.elapsed() > ONE_REQUEST {
                // The last checkpoint is complete. Not `exit`, which takes libtorch down while
                // other threads compute with it.
                raise(Signal::SIGKILL).ok();
            }
            return;
        }
        // Overwrites the line of a progress bar, which is redrawn below.
        let (over, rest) = if stderr().is_terminal() { ("\r", "\x1b[K") } else { ("", "") };
        remark(format_args!(
            "{over}stopping; press Ctrl-C again after a second to quit at once{rest}"
        ));
    })
    .context("cannot listen for Ctrl-C")?;
    // Only the thread that now listens receives these signals; this one and all that it starts
    // block them. Signals that interrupted libtorch's kernels corrupted the heap in every other
    // try.
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    SigSet::from_iter(signals)
        .thread_block()
        .context("cannot block signals outside the thread that handles Ctrl-C")?;
    Ok(&STOP)
}

/// Whether the program was started with hangups ignored; known on Linux only.
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit n − 1 is signal n.
    ignored.is_some_and(|mask| mask & (1 << (Signal::SIGHUP as i32 - 1)) != 0)
}
