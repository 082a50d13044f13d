//! Automation of the workspace: `cargo xtask COMMAND`, one file per command.
//!
//! Links no libtorch, so that it builds in seconds and can set libtorch up.

// The purpose of this program is to tell people what happens.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod bytes;
mod cargo;
mod check;
mod claims;
mod compare;
mod data;
mod docs;
mod doctor;
mod fixtures;
mod interrupts;
mod libtorch;
mod list;
mod marked;
mod open_cascade;
mod pip;
mod plan;
mod prepare_step;
mod prepare_video;
mod program;
mod python;
mod report;
mod reproduce;
mod rules;
mod run;
mod run_folder;
mod setup;
mod staging;
mod sweep;
mod table;
mod test;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use bauta_datasets::DatasetName;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The data sets from which scenes are composed.
const COMPOSED: [DatasetName; 2] = [DatasetName::Mnist, DatasetName::Cifar10];

/// Sets up, runs, tests and checks Bauta.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or fetch libtorch, so that plain cargo and editors find it too
    Setup,
    /// Check what this machine has, what is missing and what to do
    Doctor,
    /// Fetch or list data sets and models
    #[command(subcommand)]
    Data(data::Task),
    /// List systems, recipes, strategies, targets and claims
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Train and evaluate a recipe, after any missing set-up
    Run(run::Arguments),
    /// Run the experiments of a paper's claim: the paper's numbers next to ours, a plot, a verdict
    Reproduce(reproduce::Arguments),
    /// Record the verdicts of claims that were run, and write their table in docs/claims.md
    Claims(claims::Arguments),
    /// Compare settings of a recipe on held-out training images, with a table, a page and the best
    Sweep(sweep::Arguments),
    /// Make a table of results: systems side by side, over seeds, as a page and in docs/table.md
    Table(table::Arguments),
    /// Compare finished runs in one page
    Compare(compare::Arguments),
    /// Predict memory, hours and scaling of a recipe on one device and on several
    Plan(plan::Arguments),
    /// Run one forward pass of a model folder on given tensors
    Forward(program::Arguments),
    /// Turn folders of STEP files into prepared parts, after fetching Open CASCADE
    PrepareStep(program::Arguments),
    /// Write features of a folder of images, or of prepared parts
    Embed(program::Arguments),
    /// Draw a masked autoencoder's reconstructions of a folder of images
    Reconstruct(program::Arguments),
    /// Convert a published checkpoint into a model folder
    Import(program::Arguments),
    /// Write a model folder under Hugging Face's or timm's names
    Export(program::Arguments),
    /// Fine-tune a model folder on labelled images, or train its network from scratch
    Finetune(program::Arguments),
    /// Measure the features of a model folder on a data set, after fetching it
    Evaluate(program::Arguments),
    /// Train and measure a segmentation head on a model folder
    Segment(program::Arguments),
    /// Train and measure a detection head on a model folder
    Detect(program::Arguments),
    /// Write a folder of videos as frame shards, so that training never decodes a video
    PrepareVideo(program::Arguments),
    /// Run all tests, after setting libtorch up if it is missing
    Test,
    /// Run the benches, or the one named; or time training, or compare with PyTorch
    Bench(bench::Arguments),
    /// Check format, house rules, lints, documentation and tests
    Check {
        /// Skip the tests
        #[arg(long)]
        no_tests: bool,
    },
    /// Write the pages of the book that are generated from the sources (docs/keys.md)
    Docs {
        /// Build the API documentation of all crates instead, with a front page
        #[arg(long)]
        api: bool,
    },
    /// Regenerate the tests' fixtures with transformers, timm and torch (needs pip)
    Fixtures,
    /// Rewrite a run's report.html from its folder
    Report {
        /// The run's folder
        run_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let task = Command::parse().task;
    match Workspace::find().and_then(|workspace| perform(task, &workspace)) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes in one line, without causes that are already part of the text.
fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}

fn perform(task: Task, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup => setup::setup(workspace),
        Task::Doctor => return doctor::doctor(workspace),
        Task::Data(task) => data::data(task),
        Task::List { json } => list::list(workspace, json),
        Task::Run(arguments) => return run::run(workspace, &arguments),
        Task::Reproduce(arguments) => return reproduce::reproduce(workspace, &arguments),
        Task::Claims(arguments) => claims::claims(workspace, &arguments),
        Task::Sweep(arguments) => return sweep::sweep(workspace, &arguments),
        Task::Table(arguments) => return table::table(workspace, &arguments),
        Task::Compare(arguments) => compare::compare(workspace, &arguments),
        Task::Plan(arguments) => return plan::plan(workspace, &arguments),
        Task::Forward(rest) => return program::program(workspace, "forward", rest),
        Task::PrepareStep(rest) => return prepare_step::prepare_step(workspace, rest),
        Task::Embed(rest) => return program::program(workspace, "embed", rest),
        Task::Reconstruct(rest) => return program::reconstruct(workspace, rest),
        Task::Import(rest) => return program::program(workspace, "import", rest),
        Task::Export(rest) => return program::program(workspace, "export", rest),
        Task::Finetune(rest) => return program::with_data(workspace, "finetune", rest, &[]),
        Task::Evaluate(rest) => return program::with_data(workspace, "evaluate", rest, &[]),
        Task::Segment(rest) => return program::with_data(workspace, "segment", rest, &COMPOSED),
        Task::Detect(rest) => return program::with_data(workspace, "detect", rest, &COMPOSED),
        Task::PrepareVideo(rest) => return prepare_video::prepare_video(workspace, rest),
        Task::Docs { api } => docs::docs(workspace, api),
        Task::Fixtures => fixtures::fixtures(workspace),
        Task::Test => test::test(workspace),
        Task::Bench(arguments) => return bench::bench(workspace, &arguments),
        Task::Check { no_tests } => return check::check(workspace, no_tests),
        Task::Report { run_dir } => report::report(&run_dir),
    }
    .map(|()| ExitCode::SUCCESS)
}
