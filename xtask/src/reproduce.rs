//! `reproduce`: the runs of a claim, after any missing set-up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use bauta_recipe::claim::{self, Cell, Claim, Size};
use clap::Args;

use crate::libtorch::Search;
use crate::run::Bauta;
use crate::workspace::Workspace;
use crate::{data, prepare_step};

/// The arguments of `reproduce`.
#[derive(Args)]
pub struct Arguments {
    /// Name of a claim, or path of a .toml file
    claim: String,
    /// Use the claim's reduced form: minutes on two cores
    #[arg(long)]
    quick: bool,
    /// Use the smallest size at which training makes a difference: at most about 25 minutes on two
    /// cores
    #[arg(long, conflicts_with = "quick")]
    small: bool,
    /// The claim's folder, runs/claims/CLAIM (CLAIM-quick, CLAIM-small) if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[cfg(test)]
impl Arguments {
    /// The claim's name, and the size of its runs.
    pub fn claim(&self) -> (&str, Size) {
        (&self.claim, Size::of(self.quick, self.small))
    }
}

/// Makes the runs; every mistake in the claim is found before anything is set up.
pub fn reproduce(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let path = claim::find(&workspace.claims(), &arguments.claim)?;
    let size = Size::of(arguments.quick, arguments.small);
    let claim = Claim::load(&path, size)?;
    let cells = claim.cells(&workspace.recipes())?;
    let out = arguments.out.clone().unwrap_or_else(|| {
        workspace.shown(&workspace.root.join("runs/claims").join(size.file_name(&claim.name)))
    });

    make_runs(workspace, &path, &cells, &out, size)
}

/// Sets up what the cells of the claim in `path` need, and makes its runs in `out`.
pub fn make_runs(
    workspace: &Workspace,
    path: &Path,
    cells: &[Cell],
    out: &Path,
    size: Size,
) -> Result<ExitCode> {
    set_up(workspace, cells)?;
    let mut command = Bauta::build(workspace)?.command("reproduce");
    command.arg(std::path::absolute(path)?);
    command.arg("--recipes").arg(std::path::absolute(workspace.recipes())?);
    command.arg("--out").arg(out);
    command.args(size.table().map(|table| format!("--{table}")));
    Bauta::become_it(command)
}

/// Fetches libtorch and the data of runs, and prepares those that need it, unless they are there.
pub fn set_up(workspace: &Workspace, cells: &[Cell]) -> Result<()> {
    Search::new(workspace)?.find_or_fetch()?;
    cells.iter().try_for_each(|cell| {
        data::fetch_for(&cell.recipe, &workspace.recipes())?;
        prepare_step::prepare_for(workspace, &cell.recipe)
    })
}
