//! `reproduce`: the runs of a claim, after whatever set-up is missing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use bauta_recipe::claim::{self, Cell, Claim};
use clap::Args;

use crate::data;
use crate::libtorch::Search;
use crate::run::Bauta;
use crate::workspace::Workspace;

/// The arguments of `reproduce`.
#[derive(Args)]
pub struct Arguments {
    /// Name of a claim, or path of a .toml file
    claim: String,
    /// Take the claim's reduced form: minutes on two cores
    #[arg(long)]
    quick: bool,
    /// The claim's folder, runs/claims/CLAIM (CLAIM-quick with --quick) if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[cfg(test)]
impl Arguments {
    /// The claim's name.
    pub fn claim(&self) -> &str {
        &self.claim
    }
}

/// Makes the runs; every mistake in the claim is found before anything is set up.
pub fn reproduce(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let path = claim::find(&workspace.claims(), &arguments.claim)?;
    let claim = Claim::load(&path, arguments.quick)?;
    let cells = claim.cells(&workspace.recipes())?;
    let out = arguments.out.clone().unwrap_or_else(|| {
        let folder = if arguments.quick { format!("{}-quick", claim.name) } else { claim.name };
        workspace.shown(&workspace.root.join("runs/claims").join(folder))
    });

    make_runs(workspace, &path, &cells, &out, arguments.quick)
}

/// Sets up what the cells of the claim in `path` need, and makes its runs in `out`.
pub fn make_runs(
    workspace: &Workspace,
    path: &Path,
    cells: &[Cell],
    out: &Path,
    quick: bool,
) -> Result<ExitCode> {
    Search::new(workspace)?.find_or_fetch()?;
    for cell in cells {
        data::fetch_for(&cell.recipe, &workspace.recipes())?;
    }
    let mut command = Bauta::build(workspace)?.command("reproduce");
    command.arg(std::path::absolute(path)?);
    command.arg("--recipes").arg(std::path::absolute(workspace.recipes())?);
    command.arg("--out").arg(out);
    if quick {
        command.arg("--quick");
    }
    Bauta::become_it(command)
}
