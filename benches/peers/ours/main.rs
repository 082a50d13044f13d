//! Our side of the comparison with PyTorch; `cargo xtask bench peers` calls it.
//!
//! `prepare` writes the files that both sides share, `measure` prints one measurement as a line of
//! JSON. The other side is `theirs/main.py`, with the same commands.

#![allow(clippy::print_stdout, reason = "its output is the measurement")]

mod captions;
mod clips;
mod loader;
mod masks;
mod optimizer;
mod photos;
mod siamese;
mod steps;
mod text;
mod views;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

#[derive(Parser)]
#[command(about = "Our side of the comparison with PyTorch")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the files that both sides of a case share.
    Prepare {
        case: Case,
        /// The folder of the shared files.
        #[arg(long)]
        shared: PathBuf,
    },
    /// Measure one variant of a case.
    Measure {
        case: Case,
        /// The variant to measure, such as `bf16`.
        variant: String,
        #[command(flatten)]
        setting: Setting,
    },
}

/// How to measure.
#[derive(Args)]
struct Setting {
    /// The folder of the shared files.
    #[arg(long)]
    shared: PathBuf,
    /// Threads of libtorch, or of the loader.
    #[arg(long)]
    threads: usize,
    /// Steps to time.
    #[arg(long)]
    steps: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Case {
    VitTinyCifar10,
    #[value(name = "vit-small-224")]
    VitSmall224,
    MaeStSmall,
    #[value(name = "resnet18-cifar10")]
    Resnet18Cifar10,
    Optimizer,
    Masks,
    Loader,
    Views,
    Text,
    Captions,
}

/// One line of output; the other side prints the same.
#[derive(Serialize)]
struct Measurement {
    /// Seconds of each timed call.
    seconds: Vec<f64>,
    /// The unit of a call's work, and the number of units.
    unit: &'static str,
    items: usize,
    /// Loss of the first and of the last timed step, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<[f64; 2]>,
    /// For a training step: the work that its time is compared with.
    #[serde(flatten)]
    work: Option<Work>,
}

/// The matrix products of a training step, and the speed of such products on this machine.
#[derive(Serialize)]
struct Work {
    /// Operations of the matrix products of a timed call, two per multiply-add.
    operations: f64,
    /// Operations per second of large matrix products of the same precision, with the same threads.
    peak: f64,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Prepare { case, shared } => match case {
            Case::VitTinyCifar10 | Case::VitSmall224 => steps::prepare(case, &shared),
            Case::MaeStSmall => clips::prepare(&shared),
            Case::Resnet18Cifar10 => siamese::prepare(&shared),
            Case::Optimizer => optimizer::prepare(&shared),
            Case::Masks | Case::Views => Ok(()),
            Case::Loader => photos::write(&shared),
            Case::Text => text::write(&shared),
            Case::Captions => captions::write(&shared),
        },
        Command::Measure { case, variant, setting } => {
            bauta_backbones::tch::set_num_threads(i32::try_from(setting.threads)?);
            let measurement = match case {
                Case::VitTinyCifar10 | Case::VitSmall224 => {
                    steps::measure(case, &variant, &setting)
                }
                Case::MaeStSmall => clips::measure(&variant, &setting),
                Case::Resnet18Cifar10 => siamese::measure(&variant, &setting),
                Case::Optimizer => optimizer::measure(&setting),
                Case::Masks => masks::measure(&variant, &setting),
                Case::Loader => loader::measure(&setting),
                Case::Views => views::measure(&variant, &setting),
                Case::Text => text::measure(&setting),
                Case::Captions => captions::measure(&setting),
            }?;
            println!("{}", serde_json::to_string(&measurement)?);
            Ok(())
        }
    }
}
