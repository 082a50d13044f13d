//! The commands of the program `bauta`, and their arguments.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use bauta_eval::DeviceChoice;
use bauta_eval::folder::FeatureFormat;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use strum::VariantNames;

use crate::dense::{DenseArguments, HeadName};
use crate::evaluate::at_least_one;
use crate::{evaluate, finetune, reproduce};

/// The program's arguments.
#[derive(Parser)]
#[command(name = "bauta", version, about = "Masked self-supervised learning, recipe by recipe")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's commands.
#[derive(Subcommand)]
pub enum Command {
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
        /// Continue from the run folder's last checkpoint.
        #[arg(long)]
        resume: bool,
        /// Use the recipe's own reduced settings.
        #[arg(long)]
        quick: bool,
    },
    /// Run one exact forward pass of a model folder.
    Forward {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Safetensors with `pixel_values`, and `noise` for a masked model.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// Where to write the outputs, as safetensors.
        #[arg(long, value_name = "FILE", alias = "output")]
        out: PathBuf,
        /// auto, cpu, cuda or cuda:N.
        #[arg(long, value_name = "NAME", default_value = "cpu")]
        device: DeviceChoice,
        /// Compute matrix products in bfloat16.
        #[arg(long)]
        bf16: bool,
    },
    /// Compute the features of a folder of images.
    ///
    /// A picture is resized and cropped as the model's preprocessor_config.json says. If that says
    /// nothing, the largest central part that has the model's ratio is resized bicubically to the
    /// model's size, whatever size the picture has. docs/looking.md shows the same in Python.
    Embed {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A folder of JPEG, PNG or WebP images; for a B-Rep model, of prepared parts.
        #[arg(long, value_name = "IMAGES", alias = "input")]
        root: PathBuf,
        /// Where to write the features [N, D].
        #[arg(long, value_name = "FILE", alias = "output")]
        out: PathBuf,
        /// safetensors, with `features` and the paths in the metadata; or npy, with the paths in
        /// FILE.txt. If not given, npy if FILE ends in .npy, otherwise safetensors.
        #[arg(long, value_name = "NAME", value_parser = format_named())]
        format: Option<FeatureFormat>,
        /// The class token instead of the mean of the patch tokens.
        #[arg(long)]
        cls: bool,
        /// auto, cpu, cuda or cuda:N.
        #[arg(long, value_name = "NAME", default_value = "auto")]
        device: DeviceChoice,
    },
    /// Draw a masked autoencoder's reconstructions of a folder of images.
    ///
    /// Pictures are preprocessed as by `embed`.
    Reconstruct {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A folder of JPEG, PNG or WebP images; for a video model, a video file.
        #[arg(long, value_name = "IMAGES", alias = "input", visible_alias = "video")]
        root: PathBuf,
        /// Where to write the pictures.
        #[arg(long, value_name = "DIR", alias = "output", default_value = "reconstructed")]
        out: PathBuf,
        /// The fraction of tokens to mask, the model's own if not given.
        #[arg(long)]
        ratio: Option<f64>,
        /// Seed of the masks.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Draw the first N images in the order of their paths; at most six clips of a video.
        #[arg(long, value_name = "N", default_value_t = 48, value_parser = at_least_one)]
        count: usize,
        /// auto, cpu, cuda or cuda:N.
        #[arg(long, value_name = "NAME", default_value = "auto")]
        device: DeviceChoice,
    },
    /// Turn a foreign checkpoint into a model folder.
    Import {
        /// A folder with config.json, or a .safetensors, .pth, .pyth, .pt, .bin, .ckpt or .tar
        /// file.
        from: PathBuf,
        /// The model folder to write.
        #[arg(long, value_name = "DIR", alias = "output")]
        out: PathBuf,
        /// Number of attention heads, if the width does not determine it.
        #[arg(long)]
        heads: Option<usize>,
        /// Number of attention heads of the decoder, 16 if not given.
        #[arg(long)]
        decoder_heads: Option<usize>,
        /// Height and width of the images, if they are not square.
        #[arg(long, num_args = 2, value_names = ["HEIGHT", "WIDTH"])]
        image_size: Option<Vec<usize>>,
        /// Frames per clip, for video weights with one joint table of positions.
        #[arg(long)]
        frames: Option<usize>,
        /// The decoder predicts pixels standardised within each patch.
        #[arg(long)]
        norm_pix_loss: bool,
    },
    /// Rewrite a model folder under another naming scheme.
    Export {
        /// The model folder, such as a run's checkpoints/last.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// The model folder to write, or the file of `--format onnx`.
        #[arg(long, value_name = "DIR", alias = "output")]
        out: PathBuf,
        /// The naming scheme of the weights. If not given, onnx if --out ends in .onnx, otherwise
        /// hf.
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Train a model folder's encoder and a classifier on labelled images.
    Finetune(finetune::Arguments),
    /// Measure the features of a model folder.
    Evaluate(evaluate::Arguments),
    /// Print the sizes of a recipe's training steps as JSON, for `cargo xtask plan`.
    Sizes {
        /// The recipe file.
        recipe: PathBuf,
        /// Override a key of the recipe.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Time a recipe's training steps on its own data.
    Throughput {
        /// The recipe file.
        recipe: PathBuf,
        /// Override a key of the recipe.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Steps to time, after a few to warm up.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        steps: u64,
        /// Write the measurement to a JSON file too.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Run a claim's experiments and compare them with the paper.
    Reproduce(reproduce::Arguments),
    /// Train a head that classifies every pixel, and measure its mean IoU.
    Segment {
        /// Arguments of both dense tasks.
        #[command(flatten)]
        arguments: DenseArguments,
        /// The head.
        #[arg(long, value_enum, default_value_t = HeadName::Linear)]
        head: HeadName,
    },
    /// Train a head that draws boxes around objects, and measure its average precision.
    Detect(DenseArguments),
}

/// Takes the names of the formats of features, and lists them in help and errors.
fn format_named() -> impl TypedValueParser<Value = FeatureFormat> {
    PossibleValuesParser::new(FeatureFormat::VARIANTS).try_map(|name| name.parse::<FeatureFormat>())
}

/// The naming scheme of a written model folder.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Format {
    /// Hugging Face's, for `from_pretrained`.
    Hf,
    /// MAE's own, or torchvision's for a residual network.
    Mae,
    /// timm's: only the encoder.
    Timm,
    /// A file for onnxruntime and others: the encoder, with its classifier.
    Onnx,
}

impl Format {
    /// The requested format, or else that of the ending of `out`.
    ///
    /// # Errors
    /// When `out` ends in .onnx and a folder is asked for.
    pub fn of(asked: Option<Self>, out: &Path) -> Result<Self> {
        let named = out.extension().filter(|end| *end == "onnx").map(|_| Self::Onnx);
        ensure!(
            named.is_none() || asked.is_none_or(|asked| asked == Self::Onnx),
            "{} ends in .onnx, but --format asks for a folder; leave out one of them",
            out.display()
        );
        Ok(asked.or(named).unwrap_or(Self::Hf))
    }
}
