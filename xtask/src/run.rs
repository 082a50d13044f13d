//! `run`: any missing set-up, then the training program.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use bauta_recipe::{Layers, Recipe};
use clap::Args;
use toml::Value;

use crate::cargo::{build_binary, cargo, library_path};
use crate::libtorch::Search;
use crate::workspace::Workspace;
use crate::{data, prepare_step, run_folder};

/// The arguments of a run.
#[derive(Args)]
pub struct Arguments {
    /// Name of a recipe, or path of a .toml file
    recipe: String,
    /// The folder of the data, for data.root
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
    /// Override a key of the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder, runs/RECIPE if not given; an earlier run there is moved to DIR.1, DIR.2 …
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue from the last checkpoint in the run's folder
    #[arg(long)]
    resume: bool,
    /// Use the recipe's own short version
    #[arg(long)]
    quick: bool,
    /// Train in N processes on this machine, each on its share of every batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    nproc: u16,
}

impl Arguments {
    /// The layers over the recipe; the value of `--root` is always taken as a path.
    fn layers(&self) -> Layers {
        let root = self.root.iter().map(|root| format!("data.root={}", Value::from(&**root)));
        Layers { quick: self.quick, set: self.set.iter().cloned().chain(root).collect() }
    }

    /// The recipe's name, and the layers over it.
    #[cfg(test)]
    pub fn recipe(&self) -> (&str, Layers) {
        (&self.recipe, self.layers())
    }
}

/// Trains and evaluates a recipe; every mistake in the arguments is found before anything is set
/// up.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let path = bauta_recipe::find(&workspace.recipes(), &arguments.recipe)?;
    let layers = arguments.layers();
    let recipe: Recipe = Recipe::load(&path, &layers)?;
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None => {
            let name = path.file_stem().context("a recipe file has a name")?;
            workspace.shown(&workspace.root.join("runs").join(name))
        }
    };
    run_folder::check(&folder, arguments.resume)?;

    Search::new(workspace)?.find_or_fetch()?;
    data::fetch_for(&recipe, &data::folder_of(&path)?)?;
    prepare_step::prepare_for(workspace, &recipe)?;
    let mut command = Bauta::build(workspace)?.command("run");
    command.arg(std::path::absolute(&path)?);
    for assignment in &layers.set {
        command.args(["--set", assignment]);
    }
    command.arg("--out").arg(&folder);
    if arguments.quick {
        command.arg("--quick");
    }
    if arguments.resume {
        command.arg("--resume");
    } else if let Some(aside) = run_folder::move_earlier_aside(&folder)? {
        eprintln!("The earlier run in {} is now in {}.", folder.display(), aside.display());
    }
    Bauta::become_them(command, arguments.nproc)
}

/// A program that links libtorch.
pub struct Bauta {
    program: PathBuf,
    libtorch: PathBuf,
}

impl Bauta {
    /// Builds the training program.
    pub fn build(workspace: &Workspace) -> Result<Self> {
        Self::build_program(workspace, "bauta-experiments", "bauta")
    }

    /// Builds a program of a package of the workspace.
    pub fn build_program(workspace: &Workspace, package: &str, program: &str) -> Result<Self> {
        let libtorch = Search::new(workspace)?.find_or_fetch()?.folder;
        let program =
            build_binary(cargo(workspace, "build").args(["--package", package]), program)?;
        Ok(Self { program, libtorch })
    }

    /// A call of one of its subcommands.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(subcommand).env("LD_LIBRARY_PATH", library_path(&self.libtorch));
        command
    }

    /// Becomes the first of several training processes, after starting the others, which end with
    /// it, and at once if one of them all cannot be started.
    fn become_them(mut command: Command, count: u16) -> Result<ExitCode> {
        if count == 1 {
            return Self::become_it(command);
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
        let port = listener.local_addr()?.port();
        drop(listener);
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        for name in ["WORLD_SIZE", "LOCAL_WORLD_SIZE"] {
            command.env(name, count.to_string());
        }
        let be = |command: &mut Command, rank: u16| {
            command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
        };
        let _others = Others::start(count, |rank| {
            be(&mut command, rank);
            command.spawn()
        })?;
        be(&mut command, 0);
        Self::become_it(command)
    }

    /// Becomes the program: signals, the terminal and the exit status are then its own.
    ///
    /// So Ctrl-C reaches it, and it can finish its step and write a checkpoint.
    pub fn become_it(mut command: Command) -> Result<ExitCode> {
        use std::os::unix::process::CommandExt;
        let error = command.exec();
        let program = Path::new(command.get_program()).display();
        Err(error).with_context(|| format!("cannot start {program}"))
    }
}

/// The training processes but the first. While this process has not become the first, they only
/// wait for it; dropped, they are ended.
struct Others(Vec<Child>);

impl Others {
    /// Starts the ranks from the last to 1.
    fn start(count: u16, mut spawn: impl FnMut(u16) -> io::Result<Child>) -> Result<Self> {
        let mut others = Self(Vec::new());
        for rank in (1..count).rev() {
            let child = spawn(rank).with_context(|| format!("cannot start process {rank}"))?;
            others.0.push(child);
        }
        Ok(others)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already cannot be ended.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn if_one_process_cannot_be_started_the_others_do_not_wait_for_it() {
        let mut started = Vec::new();
        let begun = Others::start(4, |rank| {
            if rank == 1 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let child = Command::new("sleep").arg("600").spawn()?;
            started.push(child.id());
            Ok(child)
        });
        assert_eq!(begun.err().unwrap().to_string(), "cannot start process 1");
        assert_eq!(started.len(), 2);
        for id in started {
            let place = format!("/proc/{id}");
            assert!(!Path::new(&place).exists(), "{place} still runs");
        }
    }

    #[test]
    fn a_root_is_a_path_whatever_it_looks_like() {
        for root in ["photos", "2024", "true", "it's \"mine\"", "a=b"] {
            let line = ["run", "mae-images", "--root", root, "--set", "data.root=elsewhere"];
            let layers = Line::parse_from(line).arguments.layers();
            let recipes =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/experiments/recipes");
            let recipe: Recipe<bauta_recipe::Mae> =
                Recipe::load(&recipes.join("mae-images.toml"), &layers).unwrap();
            assert_eq!(recipe.settings.data.root.as_deref(), Some(Path::new(root)));
        }
    }
}
