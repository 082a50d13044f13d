//! `plan`: the cost of a recipe on one device and on several, before it is trained.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use bauta_recipe::{Layers, Precision, Recipe};
use bauta_report::plan::{DeviceKind, Plan, StepSizes};
use clap::Args;

use crate::libtorch::Search;
use crate::run::Bauta;
use crate::workspace::Workspace;
use crate::{data, prepare_step};

/// What is planned.
#[derive(Args)]
pub struct Arguments {
    /// Name of a recipe, or path of a .toml file
    recipe: String,
    /// Override a key of the recipe, such as train.batch_size=4096
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Numbers of devices; each divides the recipe's batch
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_value = "1,8,64",
        value_parser = clap::value_parser!(u64).range(1..))]
    devices: Vec<u64>,
    /// h100, h200, a100, or cpu: machines like this one
    #[arg(long, value_name = "KIND", default_value_t = DeviceKind::H100)]
    device_kind: DeviceKind,
    /// The share of the peak that training reaches, in (0, 1]; 0.3 on a GPU, 0.6 on a CPU if not
    /// given
    #[arg(long, value_name = "SHARE")]
    utilization: Option<f64>,
}

/// Does any missing set-up, asks the program for the sizes of a step, and prints the plan.
pub fn plan(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { set, devices, device_kind, utilization, .. } = arguments;
    let path = bauta_recipe::find(&workspace.recipes(), &arguments.recipe)?;
    let recipe: Recipe = Recipe::load(&path, &Layers { quick: false, set: set.clone() })?;
    // Finds mistakes in the arguments before anything is built.
    let batch = recipe.train.batch_size as u64;
    let unknown = StepSizes { batch_size: batch, operations: 1, peak: 1.0, ..StepSizes::default() };
    Plan::new(unknown, *device_kind, *utilization, devices)?;

    Search::new(workspace)?.find_or_fetch()?;
    data::fetch_for(&recipe, &data::folder_of(&path)?)?;
    prepare_step::prepare_for(workspace, &recipe)?;
    let mut command = Bauta::build(workspace)?.command("sizes");
    command.arg(std::path::absolute(&path)?);
    let forced = forced(recipe.train.precision, *device_kind);
    for assignment in set.iter().map(String::as_str).chain(forced) {
        command.args(["--set", assignment]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start the program")?;
    if !output.status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let sizes: StepSizes = serde_json::from_slice(&output.stdout).context("the program's sizes")?;
    print!("{}", Plan::new(sizes, *device_kind, *utilization, devices)?);
    Ok(ExitCode::SUCCESS)
}

/// Settings under which the sizes are found on this machine: the CPU's peak is measured, a GPU's
/// is known, and `auto` is the precision of the device that is planned for.
fn forced<'a>(precision: Precision, kind: DeviceKind) -> impl Iterator<Item = &'a str> {
    let bf16 = precision == Precision::Auto && kind != DeviceKind::Cpu;
    ["train.device=cpu"].into_iter().chain(bf16.then_some("train.precision=bf16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_precision_is_that_of_the_planned_device() {
        let of = |precision, kind| forced(precision, kind).collect::<Vec<_>>();
        let bf16 = ["train.device=cpu", "train.precision=bf16"];
        assert_eq!(of(Precision::Auto, DeviceKind::H100), bf16);
        assert_eq!(of(Precision::Auto, DeviceKind::Cpu), bf16[..1]);
        assert_eq!(of(Precision::Fp32, DeviceKind::H100), bf16[..1]);
    }
}
