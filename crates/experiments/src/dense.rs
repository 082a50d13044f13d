//! Dense tasks on a model folder: `bauta segment` and `bauta detect`.
//!
//! The head is trained on the training split, alone or together with the encoder, and
//! measured once on the test split. Both commands share their data, their keys and
//! the way that an encoder is made ready.

mod data;
mod detect;
mod segment;
mod settings;
mod tuning;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

/// Data that dense tasks are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DenseData {
    /// Scenes composed of MNIST's digits on CIFAR-10's photos: nobody took them.
    ComposedDigits,
    /// A folder of ADE20K's form (segment).
    Ade20k,
    /// A folder of COCO's form (detect).
    Coco,
}

/// A segmentation head, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeadName {
    /// One linear layer on the tokens.
    Linear,
    /// A small UPerNet on four depths.
    Upernet,
}

/// What both commands are given.
#[derive(Args, Clone, Debug)]
pub struct DenseArguments {
    /// The model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The data.
    #[arg(long, value_enum, default_value_t = DenseData::ComposedDigits)]
    pub data: DenseData,
    /// The folder that the data lie in; composed digits come from the data cache, or from
    /// this folder's `mnist` and `cifar10`.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Train the head alone, on the tokens of the encoder as it is.
    #[arg(long)]
    pub frozen: bool,
    /// Begin with random weights of the model's sizes, as a baseline.
    #[arg(long)]
    pub random_init: bool,
    /// Override a setting, such as `train.steps=100`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where the picture and the numbers go.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Trains and measures a segmentation head; prints and writes what came of it.
///
/// # Errors
/// When model or data do not suit the task, or a setting is wrong; the message says what to do.
pub fn segment(arguments: &DenseArguments, head: HeadName) -> Result<()> {
    segment::segment(arguments, head)
}

/// Trains and measures a detection head; prints and writes what came of it.
///
/// # Errors
/// As [`segment`].
pub fn detect(arguments: &DenseArguments) -> Result<()> {
    detect::detect(arguments)
}
