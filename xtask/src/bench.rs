//! `bench`: measurements, from single functions to whole training steps.

mod criterion;
mod machine;
mod peers;
mod throughput;

use bauta_files::write_whole;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::workspace::Workspace;

pub use machine::{Machine, commit, processor};

/// A criterion bench, or one of the larger measurements.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    /// A criterion bench target; all of them if none is named
    name: Option<String>,
    /// Write the estimates of this run to a JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Measurement {
    /// Time a recipe's training steps: samples/s, waiting for data, share of the machine's peak
    Throughput(throughput::Arguments),
    /// Time Bauta and PyTorch alternately: training steps, optimiser, masks, loader
    Peers(peers::Arguments),
}

/// Runs the measurement that is asked for.
pub fn bench(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.measurement {
        Some(Measurement::Throughput(arguments)) => throughput::throughput(workspace, arguments),
        Some(Measurement::Peers(arguments)) => peers::peers(workspace, arguments),
        None => {
            criterion::bench(workspace, arguments.name.as_deref(), arguments.json.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes a measurement atomically.
fn write_json(file: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    write_whole(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}
