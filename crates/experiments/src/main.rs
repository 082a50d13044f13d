//! The `bauta` binary: runs recipes. `cargo xtask` does the set-up and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bauta_backbones::{ModelFolder, Naming, Unsaid};
use bauta_data::DatasetName;
use bauta_experiments::dense::{self, DenseArguments, HeadName};
use bauta_experiments::forward::forward;
use bauta_experiments::looking::{self, Reconstruct};
use bauta_experiments::run::{RunEnd, RunOptions, run, stop_on_signals};
use bauta_experiments::{
    compare, evaluate, finetuning, interchange, report, reproduce, throughput,
};
use bauta_libtorch::keep_freed_memory;
use bauta_recipe::{Features, FineTuneSettings, Layers};
use clap::{Parser, Subcommand, ValueEnum};

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
    /// One exact forward pass of a model folder.
    Forward {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Safetensors with `pixel_values`, and `noise` for a masked model.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// Where to write the outputs, as safetensors.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Features of a folder of images.
    Embed {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A folder of JPEG, PNG or WebP images.
        #[arg(long, value_name = "IMAGES")]
        input: PathBuf,
        /// Where to write `features` [N, D], as safetensors.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// The class token instead of the mean of the patch tokens.
        #[arg(long)]
        cls: bool,
    },
    /// Pictures of what a masked autoencoder makes of a folder of images.
    Reconstruct {
        /// The model folder.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A folder of JPEG, PNG or WebP images.
        #[arg(long, value_name = "IMAGES")]
        input: PathBuf,
        /// The folder of the pictures.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// The fraction of tokens to hide, the model's own if not given.
        #[arg(long)]
        ratio: Option<f64>,
        /// Seed of the masks.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// At most so many images, the first by their paths.
        #[arg(long, default_value_t = 48)]
        count: usize,
    },
    /// Turn a foreign checkpoint into a model folder.
    Import {
        /// A folder with config.json, or a .safetensors, .pth, .pt or .bin file.
        from: PathBuf,
        /// The model folder to write.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// Attention heads, where the width does not say it.
        #[arg(long)]
        heads: Option<usize>,
        /// Attention heads of the decoder, 16 if not given.
        #[arg(long)]
        decoder_heads: Option<usize>,
        /// Height and width of the images, where they are not square.
        #[arg(long, num_args = 2, value_names = ["HEIGHT", "WIDTH"])]
        image_size: Option<Vec<usize>>,
        /// The decoder predicts pixels standardised within each patch.
        #[arg(long)]
        norm_pix_loss: bool,
    },
    /// Write a model folder anew, under others' names.
    Export {
        /// The model folder, such as a run's checkpoints/last.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// The model folder to write.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// Whose names.
        #[arg(long, value_enum, default_value_t = Format::Hf)]
        format: Format,
    },
    /// Train a model folder's encoder and a classifier on labelled images.
    Finetune(FinetuneArguments),
    /// Measure the features of a model folder.
    Evaluate(evaluate::Arguments),
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
    /// Make the runs of a claim, and hold them against the paper.
    Reproduce(reproduce::Arguments),
    /// Set runs side by side.
    Compare(compare::Arguments),
    /// Train a head that gives every pixel a class, and measure its mean IoU.
    Segment {
        #[command(flatten)]
        arguments: DenseArguments,
        /// The head.
        #[arg(long, value_enum, default_value_t = HeadName::Linear)]
        head: HeadName,
    },
    /// Train a head that draws boxes around objects, and measure its average precision.
    Detect(DenseArguments),
    /// Write a run's report.html anew.
    Report {
        /// The run folder.
        folder: PathBuf,
    },
}

/// What `finetune` is told.
#[derive(clap::Args)]
struct FinetuneArguments {
    /// The model folder, such as a run's checkpoints/last.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "scratch_like",
        conflicts_with = "scratch_like"
    )]
    model: Option<PathBuf>,
    /// Train the same network as in this model folder from scratch, for comparison.
    #[arg(long, value_name = "DIR")]
    scratch_like: Option<PathBuf>,
    /// The data set: cifar10, mnist, fashion-mnist; or folder or shards in data.root.
    #[arg(long, value_name = "NAME")]
    data: String,
    /// Set a key, such as `eval.finetune.epochs=10`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Use only this fraction of the labels, equally many of each class.
    #[arg(long, value_name = "FRACTION")]
    labels: Option<f64>,
    /// Measure on a held-out tenth of the training images, to choose settings by.
    #[arg(long)]
    validate: bool,
    /// Keep metrics, checkpoints (model folders) and the result in this folder.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the result to a JSON file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl FinetuneArguments {
    fn options(&self) -> Result<finetuning::Options> {
        let names = DatasetName::ALL.map(DatasetName::name);
        let data = DatasetName::ALL.into_iter().find(|data| data.name() == self.data);
        let data = data.with_context(|| {
            format!("no data set named {}; known: {}", self.data, names.join(", "))
        })?;
        let mut set = self.set.clone();
        set.extend(self.labels.map(|labels| format!("eval.finetune.labels={labels}")));
        let model = self.model.as_ref().or(self.scratch_like.as_ref());
        Ok(finetuning::Options {
            model: model.context("one of --model and --scratch-like is needed")?.clone(),
            from_scratch: self.scratch_like.is_some(),
            data,
            settings: FineTuneSettings::parse(&set)?,
            validate: self.validate,
            output: self.output.clone(),
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Hugging Face's, for `from_pretrained`.
    Hf,
    /// MAE's own.
    Mae,
    /// timm's: the encoder alone.
    Timm,
}

fn main() -> ExitCode {
    keep_freed_memory();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
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
        Command::Forward { model, input, output } => {
            forward(&model, &input, &output)?;
            println!("outputs: {}", output.display());
            Ok(())
        }
        Command::Embed { model, input, output, cls } => {
            let features = if cls { Features::Cls } else { Features::Mean };
            println!("{}", looking::embed(&model, &input, &output, features)?);
            Ok(())
        }
        Command::Reconstruct { model, input, output, ratio, seed, count } => {
            let options = Reconstruct { model, input, output, ratio, seed, count };
            println!("{}", looking::reconstruct(&options)?);
            Ok(())
        }
        Command::Import { from, output, heads, decoder_heads, image_size, norm_pix_loss } => {
            let image_size = image_size.map(|sides| [sides[0], sides[1]]);
            let unsaid = Unsaid { heads, decoder_heads, image_size, norm_pix_loss };
            let folder = interchange::read(&from, unsaid)?;
            println!("{}", interchange::write(&folder, &output, Naming::Timm)?);
            Ok(())
        }
        Command::Export { model, output, format } => {
            let folder = ModelFolder::read(&model)?;
            let (folder, naming) = match format {
                Format::Hf => (folder, Naming::HuggingFace),
                Format::Mae => (folder, Naming::Timm),
                Format::Timm => (folder.into_encoder()?, Naming::Timm),
            };
            println!("{}", interchange::write(&folder, &output, naming)?);
            Ok(())
        }
        Command::Finetune(arguments) => {
            let found = finetuning::finetune(&arguments.options()?, stop_on_signals()?)?;
            println!("{}", found.table());
            arguments.json.map_or(Ok(()), |file| found.write(&file))
        }
        Command::Evaluate(arguments) => {
            let evaluated = evaluate::evaluate(&arguments, stop_on_signals()?)?;
            print!("{evaluated}");
            arguments.json.map_or(Ok(()), |file| evaluated.write(&file))
        }
        Command::Throughput { recipe, set, steps, json } => {
            let measured = throughput::measure(&recipe, &Layers { quick: false, set }, steps)?;
            print!("{measured}");
            json.map_or(Ok(()), |file| measured.write(&file))
        }
        Command::Reproduce(arguments) => reproduce::reproduce(&arguments, stop_on_signals()?),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Segment { arguments, head } => dense::segment(&arguments, head),
        Command::Detect(arguments) => dense::detect(&arguments),
        Command::Report { folder } => {
            report::write(&folder)?;
            println!("report: {}", folder.join("report.html").display());
            Ok(())
        }
    }
}
