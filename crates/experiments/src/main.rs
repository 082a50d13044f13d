//! The `bauta` binary: runs recipes. `cargo xtask` does the set-up and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bauta_experiments::report;
use bauta_experiments::run::{RunEnd, RunOptions, run, stop_on_signals};
use bauta_recipe::Layers;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bauta", version, about = "Masked self-supervised learning, recipe by recipe")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train and evaluate a recipe.
    Run {
        /// The recipe file.
        recipe: PathBuf,
        /// Override a key of the recipe, such as `train.epochs=2`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// The run folder.
        #[arg(long)]
        out: PathBuf,
        /// Go on from the run folder's last checkpoint.
        #[arg(long)]
        resume: bool,
        /// Use the recipe's own reduced setting.
        #[arg(long)]
        quick: bool,
    },
    /// Write a run's report.html anew.
    Report {
        /// The run folder.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_target(false).init();
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, less those that its text tells already.
fn explain(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run { recipe, set, out, resume, quick } => {
            let options = RunOptions { recipe, layers: Layers { quick, set }, out, resume };
            match run(&options, stop_on_signals()?)? {
                RunEnd::Finished(summary) => {
                    println!("{}", report::table(&summary));
                    println!("report: {}", options.out.join("report.html").display());
                    Ok(())
                }
                RunEnd::Stopped(step) => anyhow::bail!(
                    "stopped at step {step}, checkpoint written; go on with the same command and --resume"
                ),
            }
        }
        Command::Report { folder } => {
            report::write(&folder)?;
            println!("report: {}", folder.join("report.html").display());
            Ok(())
        }
    }
}
