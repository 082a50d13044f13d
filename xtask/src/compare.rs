//! `compare`: finished runs side by side, in the terminal and on one page.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::run::Bauta;
use crate::workspace::Workspace;

/// What `compare` is told.
#[derive(Args)]
pub struct Arguments {
    /// The runs' folders, two or more
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page, runs/compare.html if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Compares; folders that are no runs' are found before anything is built.
pub fn compare(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    for run in &arguments.runs {
        if !run.join("recipe.toml").is_file() {
            bail!("{} holds no recipe.toml, so it is no run's folder", run.display());
        }
    }
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| workspace.shown(&workspace.root.join("runs/compare.html")));
    let mut command = Bauta::build(workspace)?.command("compare");
    command.args(&arguments.runs).arg("--out").arg(out);
    Bauta::become_it(command)
}
