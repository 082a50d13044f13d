//! The `bauta` binary: runs recipes. `cargo xtask` does the set-up and calls it.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bauta_backbones::{ImportOptions, Naming, Pooling, export_model, export_onnx, import_model};
use bauta_data::{cache_root, video::Ffmpeg};
use bauta_eval::folder::{Embed, FeatureFormat, Forward, Reconstruct};
use bauta_experiments::commands::{Arguments, Command, Format};
use bauta_experiments::run::{RunEnd, remark, tell};
use bauta_experiments::start::{RunOptions, run, stop_on_signals};
use bauta_experiments::systems::brep;
use bauta_experiments::{dense, evaluate, finetune, reproduce, throughput};
use bauta_files::check_writable;
use bauta_libtorch::keep_freed_memory;
use bauta_recipe::Layers;
use bauta_train::Precision;
use clap::Parser;

fn main() -> ExitCode {
    keep_freed_memory();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("error: {}", explain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, without those that its text already contains.
fn explain(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Refuses a file that cannot be written, before there is a result to write.
fn check_result_file(file: Option<&Path>) -> Result<()> {
    let cannot = |file: &Path| format!("cannot write {}", file.display());
    file.map_or(Ok(()), |file| check_writable(file).with_context(|| cannot(file)))
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run { recipe, set, out, resume, quick } => {
            let options = RunOptions { recipe, layers: Layers { quick, set }, out, resume };
            match run(&options, stop_on_signals()?)? {
                RunEnd::Finished(summary) => {
                    let (table, out) = (bauta_report::table(&summary), &options.out);
                    tell(format_args!("{table}\nreport: {}\n", out.join("report.html").display()))
                }
                RunEnd::Stopped(0) => anyhow::bail!("stopped before the first step was made"),
                RunEnd::Stopped(step) => anyhow::bail!(
                    "stopped at step {step}; go on with the same command and --resume\nkept: {}",
                    options.out.join("checkpoints/last").display()
                ),
                // Rank 0 measures and reports.
                RunEnd::Trained => Ok(()),
                RunEnd::Timed(..) | RunEnd::Sized(_) => unreachable!("a run for its report"),
            }
        }
        Command::Forward { model, input, out, device, bf16 } => {
            let precision = if bf16 { Precision::Bf16 } else { Precision::Fp32 };
            let device = device.choose()?;
            Forward { model, input, out: out.clone(), device, precision }.run()?;
            tell(format_args!("outputs: {}\n", out.display()))
        }
        Command::Embed { model, root, out, format, cls, device } if brep::is_brep(&model) => {
            let format = FeatureFormat::of(format, &out)?;
            let [faces, width] = brep::embed(&model, &root, &out, format, cls, device.choose()?)?;
            tell(format_args!("{faces} faces, {width} values each, in {}\n", out.display()))
        }
        Command::Embed { model, root, out, format, cls, device } => {
            let format = FeatureFormat::of(format, &out)?;
            let pooling = if cls { Pooling::Cls } else { Pooling::Mean };
            let device = device.choose()?;
            let embed = Embed { model, root, out: out.clone(), pooling, format, device };
            let ([images, width], what) = embed.run()?;
            let out = out.display();
            tell(format_args!("{images} images, {width} values each ({what}), in {out}\n"))
        }
        Command::Reconstruct { model, root, out, ratio, seed, count, device } => {
            let device = device.choose()?;
            let options = Reconstruct { model, root, out, ratio, seed, count, device };
            tell(options.run(&|| Ffmpeg::find(&cache_root()?))? + "\n")
        }
        Command::Import { from, out, heads, decoder_heads, image_size, frames, norm_pix_loss } => {
            let image_size = image_size.map(|sides| [sides[0], sides[1]]);
            let options = ImportOptions { heads, decoder_heads, image_size, frames, norm_pix_loss };
            tell(format_args!("{}\n", import_model(&from, options, &out)?))
        }
        Command::Export { model, out, format } => {
            let said = match Format::of(format, &out)? {
                Format::Onnx => export_onnx(&model, &out)?,
                Format::Hf => export_model(&model, &out, Naming::HuggingFace, false)?,
                Format::Mae => export_model(&model, &out, Naming::Timm, false)?,
                Format::Timm => export_model(&model, &out, Naming::Timm, true)?,
            };
            tell(format_args!("{said}\n"))
        }
        Command::Finetune(arguments) => {
            check_result_file(arguments.json.as_deref())?;
            finetune::finetune(&arguments, stop_on_signals()?)
        }
        Command::Evaluate(arguments) => {
            check_result_file(arguments.json.as_deref())?;
            let evaluated = evaluate::evaluate(&arguments, stop_on_signals()?)?;
            let written = arguments.json.map_or(Ok(()), |file| evaluated.write(&file));
            tell(&evaluated)?;
            Ok(written?)
        }
        Command::Sizes { recipe, set } => {
            let sizes = throughput::sizes(&recipe, &Layers { quick: false, set })?;
            tell(serde_json::to_string(&sizes)? + "\n")
        }
        Command::Throughput { recipe, set, steps, json } => {
            check_result_file(json.as_deref())?;
            let measured = throughput::measure(&recipe, &Layers { quick: false, set }, steps)?;
            let written = json.map_or(Ok(()), |file| measured.write(&file));
            tell(&measured)?;
            Ok(written?)
        }
        Command::Reproduce(arguments) => reproduce::reproduce(&arguments, stop_on_signals()?),
        Command::Segment { arguments, head } => {
            dense::segment(&arguments, head, stop_on_signals()?)
        }
        Command::Detect(arguments) => dense::detect(&arguments, stop_on_signals()?),
    }
}
