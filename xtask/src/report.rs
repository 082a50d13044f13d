//! `report`: write a run's report again from its folder.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::run::Bauta;
use crate::workspace::Workspace;

/// Renders `report.html` of a run folder with the present code.
pub fn report(workspace: &Workspace, run_dir: &Path) -> Result<ExitCode> {
    if !run_dir.join("recipe.toml").is_file() {
        bail!("{} holds no recipe.toml, so it is no run's folder", run_dir.display());
    }
    let mut command = Bauta::build(workspace)?.command("report");
    command.arg(std::path::absolute(run_dir)?);
    Bauta::become_it(command)
}
