//! Prepares folders of STEP files for training; `cargo xtask prepare-step` builds and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use bauta_brep::Sampling;
use bauta_brep::step::{Outcome, PrepareOptions, limit, prepare_folder, version};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Prepare a folder of STEP or BREP files for training, one process a file")]
struct Arguments {
    /// A folder with .step, .stp or .brep files, at any depth.
    #[arg(value_name = "DIR")]
    input: PathBuf,
    /// The folder of the prepared parts.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Targets that are kept of each face.
    #[arg(long, default_value_t = 500)]
    targets: usize,
    /// Candidates of which they are chosen.
    #[arg(long, default_value_t = 2000)]
    candidates: usize,
    /// The fraction of the targets that are those nearest to the trim.
    #[arg(long, default_value_t = 0.4)]
    near: f64,
    /// Take files with several bodies as one part each, instead of leaving them out.
    #[arg(long)]
    assemblies: bool,
    /// Seconds that a file may take.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Mebibytes of memory that a file may take.
    #[arg(long, default_value_t = 4096)]
    memory: u64,
    /// Processes at once; 0 takes one a core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Prepare this file alone, in this process.
    #[arg(long, hide = true)]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.file {
        Some(file) => one(&arguments, file),
        None => all(&arguments),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let error = error.to_string();
            // The reason of a single file is what its caller counts.
            let reason = error.strip_prefix("the part cannot be used: ").unwrap_or(&error);
            eprintln!("{}{reason}", if arguments.file.is_some() { "" } else { "error: " });
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

fn one(arguments: &Arguments, file: &Path) -> Done {
    let options = arguments.options();
    limit(options.bytes, options.seconds)?;
    Ok(options.prepare_file(file)?.to_string())
}

fn all(arguments: &Arguments) -> Done {
    let options = arguments.options();
    options.sampling.check()?;
    let (start, program) = (Instant::now(), std::env::current_exe()?);
    let command = || {
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1)).arg("--file");
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
    if parts == 0 {
        return Err(format!("none of {files} files became a part").into());
    }
    Ok(format!(
        "{parts} of {files} files with {} faces in {:.1} s by Open CASCADE {}: {}",
        prepared.faces(),
        start.elapsed().as_secs_f64(),
        version(),
        options.output.display()
    ))
}
