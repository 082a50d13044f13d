//! `bench`: what is measured, from single functions to whole training steps.

mod criterion;
mod throughput;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::workspace::Workspace;

/// A criterion bench, or one of the larger measurements.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    /// A criterion bench target; all of them if none is named
    name: Option<String>,
    /// Gather the estimates of this run in a JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Measurement {
    /// Time a recipe's training steps: samples/s, waiting for data, share of the machine's peak
    Throughput(throughput::Arguments),
}

/// Measures.
pub fn bench(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.measurement {
        Some(Measurement::Throughput(arguments)) => throughput::throughput(workspace, arguments),
        None => {
            criterion::bench(workspace, arguments.name.as_deref(), arguments.json.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
