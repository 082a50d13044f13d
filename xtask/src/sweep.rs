//! `sweep`: a recipe's settings compared on held-out training images, to choose the best.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_recipe::Layers;
use bauta_recipe::claim::{Best, Claim, Size, Sweep};
use clap::Args;

use crate::reproduce::make_runs;
use crate::workspace::Workspace;

/// The arguments of `sweep`.
#[derive(Args)]
pub struct Arguments {
    /// Name of a recipe, or path of a .toml file
    recipe: String,
    /// A key and the values to compare; several axes make every combination
    #[arg(long, value_name = "KEY=A,B,C", required = true)]
    axis: Vec<String>,
    /// Override a key of the recipe in every run
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seeds of every setting
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    /// The metric to choose by, the recipe's own if not given
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// The lowest value of the metric is the best
    #[arg(long)]
    least: bool,
    /// Use the recipe's own short version
    #[arg(long)]
    quick: bool,
    /// The sweep's folder, runs/sweeps/RECIPE (RECIPE-quick with --quick) if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Arguments {
    /// The claim that plans the runs.
    pub fn claim(&self, workspace: &Workspace, name: &str) -> Result<Claim> {
        let Self { recipe, axis, set, seeds, metric, least, quick, .. } = self;
        let sweep = Sweep {
            recipe,
            recipes: &workspace.recipes(),
            layers: &Layers { quick: *quick, set: set.clone() },
            axes: axis,
            seeds,
            metric: metric.as_deref(),
            best: if *least { Best::Least } else { Best::Greatest },
        };
        Ok(sweep.claim(name)?)
    }
}

/// Makes the missing runs; every mistake in the arguments is found before anything is set up.
pub fn sweep(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| {
        let stem = PathBuf::from(&arguments.recipe).file_stem().unwrap_or_default().to_owned();
        let stem = stem.to_string_lossy();
        let folder = if arguments.quick { format!("{stem}-quick") } else { stem.into_owned() };
        workspace.shown(&workspace.root.join("runs/sweeps").join(folder))
    });
    let name = out.file_name().context("--out must end in a folder's name")?.to_string_lossy();
    let claim = arguments.claim(workspace, &name)?;
    let cells = claim.cells(&workspace.recipes())?;
    if claim.is_validated() {
        eprintln!(
            "Settings are measured on a part of the training images; the test split is not used."
        );
    } else {
        eprintln!(
            "This system's data have no validation split: settings are compared on what the \
             recipe measures on."
        );
    }
    let file = out.with_file_name(format!("{name}.toml"));
    if file.exists() && Claim::load(&file, Size::Full).is_err() {
        bail!("{} exists but does not describe a sweep; choose another --out", file.display());
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_whole(&file, claim.to_toml().as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    make_runs(workspace, &file, &cells, &out, Size::Full)
}
