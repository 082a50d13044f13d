//! `bench throughput`: a recipe's training steps, timed by the training program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bauta_recipe::{Layers, Recipe};
use clap::Args;

use crate::libtorch::Search;
use crate::run::Bauta;
use crate::workspace::Workspace;
use crate::{data, prepare_step};

/// What is timed.
#[derive(Args)]
pub struct Arguments {
    /// Name of a recipe, or path of a .toml file
    recipe: String,
    /// Override a key of the recipe, such as train.precision=bf16
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Steps to time, after a few to warm up
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Write the measurement to a JSON file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Does any missing set-up, then times the steps.
pub fn throughput(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let path = bauta_recipe::find(&workspace.recipes(), &arguments.recipe)?;
    let layers = Layers { quick: false, set: arguments.set.clone() };
    let recipe: Recipe = Recipe::load(&path, &layers)?;
    Search::new(workspace)?.find_or_fetch()?;
    data::fetch_for(&recipe, &data::folder_of(&path)?)?;
    prepare_step::prepare_for(workspace, &recipe)?;
    let mut command = Bauta::build(workspace)?.command("throughput");
    command.arg(std::path::absolute(&path)?);
    for assignment in &arguments.set {
        command.args(["--set", assignment]);
    }
    command.args(["--steps", &arguments.steps.to_string()]);
    if let Some(file) = &arguments.json {
        command.arg("--json").arg(file);
    }
    Bauta::become_it(command)
}
