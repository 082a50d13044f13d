//! The `bauta` binary: runs recipes. `cargo xtask` does the set-up and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bauta_backbones::{ModelFolder, Naming, Pooling, Unsaid};
use bauta_eval::folder::{Reconstruct, embed, forward, reconstruct};
use bauta_experiments::dense::{self, DenseArguments, HeadName};
use bauta_experiments::run::RunEnd;
use bauta_experiments::start::{RunOptions, run, stop_on_signals};
use bauta_experiments::systems::brep;
use bauta_experiments::{evaluate, finetune, reproduce, throughput};
use bauta_libtorch::keep_freed_memory;
use bauta_recipe::Layers;
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
        /// A folder of JPEG, PNG or WebP images; of prepared parts for a model of faces.
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
    Finetune(finetune::Arguments),
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
                    println!("{}", bauta_report::table(&summary));
                    println!("report: {}", options.out.join("report.html").display());
                    Ok(())
                }
                RunEnd::Stopped(step) => anyhow::bail!(
                    "stopped at step {step}, checkpoint written; go on with the same command and --resume"
                ),
                RunEnd::Trained | RunEnd::Timed(_) => unreachable!("a run for its report"),
            }
        }
        Command::Forward { model, input, output } => {
            forward(&model, &input, &output)?;
            println!("outputs: {}", output.display());
            Ok(())
        }
        Command::Embed { model, input, output, .. } if brep::is_brep(&model) => {
            let [faces, width] = brep::embed(&model, &input, &output)?;
            println!("{faces} faces, {width} values each, in {}", output.display());
            Ok(())
        }
        Command::Embed { model, input, output, cls } => {
            let (pooling, what) = match cls {
                true => (Pooling::Cls, "class token"),
                false => (Pooling::Mean, "mean of the patch tokens"),
            };
            let [images, width] = embed(&model, &input, &output, pooling)?;
            println!("{images} images, {width} values each ({what}), in {}", output.display());
            Ok(())
        }
        Command::Reconstruct { model, input, output, ratio, seed, count } => {
            let options = Reconstruct { model, input, output, ratio, seed, count };
            println!("{}", reconstruct(&options)?);
            Ok(())
        }
        Command::Import { from, output, heads, decoder_heads, image_size, norm_pix_loss } => {
            let image_size = image_size.map(|sides| [sides[0], sides[1]]);
            let unsaid = Unsaid { heads, decoder_heads, image_size, norm_pix_loss };
            let folder = ModelFolder::import(&from, unsaid)?;
            println!("{}", folder.export(&output, Naming::Timm)?);
            Ok(())
        }
        Command::Export { model, output, format } => {
            let folder = ModelFolder::read(&model)?;
            let (folder, naming) = match format {
                Format::Hf => (folder, Naming::HuggingFace),
                Format::Mae => (folder, Naming::Timm),
                Format::Timm => (folder.into_encoder()?, Naming::Timm),
            };
            println!("{}", folder.export(&output, naming)?);
            Ok(())
        }
        Command::Finetune(arguments) => finetune::finetune(&arguments, stop_on_signals()?),
        Command::Evaluate(arguments) => {
            let evaluated = evaluate::evaluate(&arguments, stop_on_signals()?)?;
            print!("{evaluated}");
            arguments.json.map_or(Ok(()), |file| Ok(evaluated.write(&file)?))
        }
        Command::Throughput { recipe, set, steps, json } => {
            let measured = throughput::measure(&recipe, &Layers { quick: false, set }, steps)?;
            print!("{measured}");
            json.map_or(Ok(()), |file| Ok(measured.write(&file)?))
        }
        Command::Reproduce(arguments) => reproduce::reproduce(&arguments, stop_on_signals()?),
        Command::Segment { arguments, head } => {
            dense::segment(&arguments, head, stop_on_signals()?)
        }
        Command::Detect(arguments) => dense::detect(&arguments, stop_on_signals()?),
    }
}
