//! `bench peers`: Bauta against PyTorch, alternately in one call.
//!
//! Every measurement is a process of its own. Within a round, our side and theirs take turns, and
//! rounds follow each other, so that other load on the machine affects both sides alike. Both get
//! the same threads and files.

mod cases;
mod profile;
mod record;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;

use self::cases::{CASES, Case, Variant};
use self::record::{Failure, Found, Measurement, Record, Sample};
use super::machine;
use crate::libtorch::Search;
use crate::run::Bauta;
use crate::workspace::Workspace;
use crate::{data, python};

/// What is compared, and for how long.
#[derive(Args)]
#[command(after_help = "BAUTA_PYTHON names a Python with the packages in \
    benches/peers/requirements.txt; without it, a virtual environment is created in the cache \
    folder.")]
pub struct Arguments {
    /// A case; all of them if none is named
    #[arg(long = "case", value_name = "NAME",
        value_parser = PossibleValuesParser::new(CASES.map(|case| case.name)))]
    cases: Vec<String>,
    /// A variant, such as fp32; all of a case's if none is named
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<String>,
    /// One of PyTorch's ways, such as eager; all of a case's if none is named
    #[arg(long = "way", value_name = "NAME")]
    ways: Vec<String>,
    /// Number of turns of each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Steps to time in each turn, after a few to warm up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Write every sample, and the machine and versions, to a JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Afterwards run each way of a case once more under perf, and show where its time goes
    #[arg(long)]
    profile: bool,
}

/// Measures the cases asked for and prints a table of each as soon as it is done.
pub fn peers(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let libtorch = Search::new(workspace)?.find_or_fetch()?;
    let folder = workspace.root.join("benches/peers");
    let python = python::environment(&folder.join("requirements.txt"))?;
    let ours = Bauta::build_program(workspace, "bauta-benches", "peers")?;
    let sides = Sides { ours, python, program: folder.join("theirs/main.py") };
    let mut record = Record {
        machine: machine::Machine::read(workspace, &libtorch.folder)?,
        rounds: arguments.rounds,
        steps: arguments.steps,
        ..Record::default()
    };
    if arguments.profile {
        profile::check()?;
    }
    let chosen: Vec<&Case> =
        CASES.iter().filter(|case| asked(&arguments.cases, case.name)).collect();
    let known: Vec<&str> = chosen.iter().flat_map(|case| case.ways()).collect();
    if let Some(unknown) = arguments.ways.iter().find(|way| !known.contains(&way.as_str())) {
        bail!("these cases have no way {unknown}; their ways are: {}", list(known));
    }
    let known: Vec<String> =
        chosen.iter().flat_map(|case| case.variants()).map(|variant| variant.name).collect();
    if let Some(unknown) = arguments.variants.iter().find(|name| !known.contains(name)) {
        bail!("these cases have no variant {unknown}; their variants are: {}", list(known));
    }
    println!("{}", record.machine);
    for case in chosen {
        let found = compare(&sides, case, arguments)?;
        print!("\n{}{}", record::table(case, &found), record::shares(&found.profiles));
        record.add(case, found);
        if let Some(file) = &arguments.json {
            record.write(file)?;
        }
    }
    if let Some(file) = &arguments.json {
        println!("\nEvery sample is in {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a name is among those asked for; if none is, all are.
fn asked(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|asked| asked == name)
}

/// Names, each once, separated by commas.
fn list(names: Vec<impl Ord + AsRef<str>>) -> String {
    let names: BTreeSet<_> = names.into_iter().collect();
    names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}

/// Measures a case. One of PyTorch's ways that fails is noted and left out of the rest of its variant.
fn compare(sides: &Sides, case: &Case, arguments: &Arguments) -> Result<Found> {
    if let Some(name) = case.data {
        data::fetch(name)?;
    }
    // The files of both programs and of torch.compile; the folder is removed at the end.
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let shared = scratch.path();
    let mut prepare = sides.ours.command("prepare");
    output(prepare.arg(case.name).arg("--shared").arg(shared))?;
    let mut found = Found::default();
    let turn = |variant: &Variant, way: &'static str| {
        let mut command = sides.measure(case, variant, way);
        command.arg("--shared").arg(shared);
        command.args(["--steps", &arguments.steps.to_string()]);
        command.env("TORCHINDUCTOR_CACHE_DIR", shared.join("inductor"));
        command
    };
    let ways = case.ways().filter(|&way| way == cases::OURS || asked(&arguments.ways, way));
    let ways: Vec<&'static str> = ways.collect();
    let variants = case.variants().into_iter();
    for variant in variants.filter(|variant| asked(&arguments.variants, &variant.name)) {
        let mut ways = ways.clone();
        for round in 0..arguments.rounds {
            for way in ways.clone() {
                eprintln!("{}, {}, {way}, round {}", case.name, variant.name, round + 1);
                let (name, threads) = (variant.name.clone(), variant.threads);
                match measurement(&mut turn(&variant, way)) {
                    Ok(measurement) => {
                        let sample = Sample { variant: name, way, round, threads, measurement };
                        found.samples.push(sample);
                    }
                    Err(error) if way != cases::OURS => {
                        let message = crate::explain(&error);
                        eprintln!("{way} is left out: {message}");
                        found.failures.push(Failure { variant: name, way, message });
                        ways.retain(|other| *other != way);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        for &way in ways.iter().filter(|_| arguments.profile) {
            eprintln!("{}, {}, {way}, profile", case.name, variant.name);
            let profile = profile::profile(&turn(&variant, way), &variant.name, way, shared)?;
            found.profiles.push(profile);
        }
    }
    Ok(found)
}

/// The programs of both sides.
struct Sides {
    ours: Bauta,
    python: PathBuf,
    program: PathBuf,
}

impl Sides {
    fn measure(&self, case: &Case, variant: &Variant, way: &str) -> Command {
        let mut command = if way == cases::OURS {
            self.ours.command("measure")
        } else {
            let mut command = Command::new(&self.python);
            // -B leaves no bytecode in the repository, and -s ignores the user's own packages.
            command.arg("-Bs").arg(&self.program).arg("measure");
            command
        };
        command.args([case.name, &variant.name]);
        if way != cases::OURS {
            command.arg(way);
        }
        let threads = variant.threads.to_string();
        for pool in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
            command.env(pool, &threads);
        }
        // As in our own programs: freed memory is kept for the next step.
        command.env("MALLOC_MMAP_THRESHOLD_", (32 << 20).to_string());
        command.env("MALLOC_TRIM_THRESHOLD_", i32::MAX.to_string());
        command.args(["--threads", &threads]);
        command
    }
}

/// The measurement in the last line that a side prints.
fn measurement(command: &mut Command) -> Result<Measurement> {
    let printed = output(command)?;
    let line = printed.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("no measurement: {line:?}"))
}

/// The output of a program, which must succeed; its error messages are shown only if it fails.
fn output(command: &mut Command) -> Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let mut lines = complaint.lines().rev().filter(|line| !line.trim().is_empty());
        let last = lines.clone().find(|line| line.contains("Error")).or_else(|| lines.next());
        let all = std::env::temp_dir().join("bauta-peers.log");
        fs::write(&all, &output.stderr).ok();
        let (last, all) = (last.unwrap_or("no message"), all.display());
        bail!("{program} failed ({}): {last}\nits whole output is in {all}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
