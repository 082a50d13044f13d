//! Prepares folders of STEP files for training; `cargo xtask prepare-step` builds and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use bauta_brep::step::{Outcome, PrepareOptions, limit, prepare_folder, version};
use bauta_brep::{BrepError, Sampling};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Prepare a folder of STEP or BREP files for training, in watched processes")]
struct Arguments {
    /// A folder with .step, .stp or .brep files, at any depth.
    #[arg(value_name = "DIR")]
    input: PathBuf,
    /// The folder of the prepared parts.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Targets kept per face.
    #[arg(long, default_value_t = 500)]
    targets: usize,
    /// Candidates per face from which the targets are chosen.
    #[arg(long, default_value_t = 2000)]
    candidates: usize,
    /// The fraction of the targets that are the candidates nearest to the trim.
    #[arg(long, default_value_t = 0.4)]
    near: f64,
    /// Take files with several bodies as one part each, instead of leaving them out.
    #[arg(long)]
    assemblies: bool,
    /// Time limit per file, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Memory limit per file, in mebibytes.
    #[arg(long, default_value_t = 4096)]
    memory: u64,
    /// Concurrent processes; 0 means one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Prepare these files, in this process.
    #[arg(long, hide = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.files[..] {
        [] => all(&arguments),
        files => some(&arguments, files),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<String, Box<dyn std::error::Error>>;

impl Arguments {
    fn options(&self) -> PrepareOptions {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        PrepareOptions {
            input: self.input.clone(),
            output: self.out.clone(),
            sampling: Sampling { candidates: self.candidates, kept: self.targets, near: self.near },
            assemblies: self.assemblies,
            seconds: self.seconds,
            bytes: self.memory << 20,
            jobs: if self.jobs == 0 { cores } else { self.jobs },
        }
    }
}

/// Prepares some files and prints the outcome of each.
fn some(arguments: &Arguments, files: &[PathBuf]) -> Done {
    let options = arguments.options();
    for file in files {
        limit(options.bytes, options.seconds)?;
        let outcome = match options.prepare_file(file) {
            Ok(faces) => Outcome::Part(faces),
            Err(BrepError::Invalid { reason }) => Outcome::Skipped(reason),
            Err(error) => Outcome::Skipped(error.to_string()),
        };
        println!("{}", outcome.line());
    }
    Ok(format!("{} files", files.len()))
}

fn all(arguments: &Arguments) -> Done {
    let options = arguments.options();
    options.sampling.check()?;
    let (start, program) = (Instant::now(), std::env::current_exe()?);
    let command = || {
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1)).arg("--files");
        command
    };
    let prepared = prepare_folder(&options, command, |file, outcome| {
        if let Outcome::Skipped(reason) = outcome {
            eprintln!("left out {}: {reason}", file.display());
        }
    })?;
    let (parts, files) = (prepared.parts(), prepared.files.len());
    for (reason, count) in prepared.reasons() {
        eprintln!("{count} × {reason}");
    }
    if let [first, ..] = &prepared.unlabelled[..] {
        eprintln!(
            "{} of {parts} parts have no labels, such as that of {}: classes.txt is not written, \
             and no classes of faces are learned; label all files, or none",
            prepared.unlabelled.len(),
            first.display()
        );
    }
    if parts == 0 {
        return Err(format!("none of the {files} files could be converted").into());
    }
    Ok(format!(
        "{parts} of {files} files with {} faces in {:.1} s by Open CASCADE {}: {}",
        prepared.faces(),
        start.elapsed().as_secs_f64(),
        version(),
        options.output.display()
    ))
}
