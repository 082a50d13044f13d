//! Fetching libtorch as Python wheels with pip, into a folder that appears whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::folder::{self, VERSION};
use crate::bytes;

/// What the CPU build of the wheel still links to.
const CPU_REQUIREMENTS: [&str; 2] = ["nvidia-cuda-runtime==13.0.*", "nvidia-cuda-cupti==13.0.*"];

/// Bytes to download and bytes unpacked.
const CPU_BYTES: [u64; 2] = [545_000_000, 1_250_000_000];
const CUDA_BYTES: [u64; 2] = [2_500_000_000, 5_600_000_000];

/// Ctrl-C: stop pip, remove what is half-written, then end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Fills `target` (which then holds `torch` and `nvidia`) from the PyPI wheels.
///
/// Works in `TARGET.partial`, which whoever holds the lock beside it may
/// remove, and renames at the end: a tree at `target` is whole.
pub fn fetch(target: &Path, cuda: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("libtorch is fetched on Linux only; elsewhere set LIBTORCH to a libtorch {VERSION}");
    }
    let [download, unpacked] = if cuda { CUDA_BYTES } else { CPU_BYTES };
    let parent = target.parent().context("the cache folder has a parent")?;
    check_pip()?;
    check_disk(parent, download + unpacked)?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _lock = lock(&target.with_added_extension("lock"))?;
    if folder::verify(&target.join("torch")).is_ok() {
        return Ok(()); // Another process has brought it meanwhile.
    }
    let staging = Staging::new(target.with_added_extension("partial"))?;

    eprintln!(
        "Fetching libtorch {VERSION} from PyPI: about {} to download, {} unpacked in {}",
        bytes::show(download),
        bytes::show(unpacked),
        target.display()
    );
    // A process sets its handler once; a second fetch keeps the first's.
    let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst));
    let bar = progress_bar(download + unpacked)?;
    let site = staging.0.join("site");
    let torch = ["--no-deps".to_owned(), format!("torch=={VERSION}")];
    if cuda {
        pip_install(&staging.0, &bar, &torch)?;
        let metadata = site.join(format!("torch-{VERSION}.dist-info/METADATA"));
        let metadata = fs::read_to_string(&metadata)
            .with_context(|| format!("cannot read {}", metadata.display()))?;
        pip_install(&staging.0, &bar, &cuda_requirements(&metadata))?;
    } else {
        let requirements = [&torch[..], &CPU_REQUIREMENTS.map(str::to_owned)].concat();
        pip_install(&staging.0, &bar, &requirements)?;
    }
    bar.finish_and_clear();

    folder::verify(&site.join("torch")).context("what pip installed does not do")?;
    if !site.join("nvidia").is_dir() {
        bail!("what pip installed does not do: the NVIDIA libraries are missing");
    }
    move_into_place(&site, target)
}

/// Waits for the lock; the returned file holds it.
fn lock(path: &Path) -> Result<File> {
    let refuse = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(refuse)?;
    if file.try_lock().is_err() {
        eprintln!("Another process is fetching libtorch; waiting");
        file.lock().with_context(refuse)?;
    }
    Ok(file)
}

/// A folder of work in progress, removed when the work ends in any way.
struct Staging(PathBuf);

impl Staging {
    fn new(folder: PathBuf) -> Result<Self> {
        let staging = Self(folder);
        staging.remove(); // What a killed process has left.
        fs::create_dir(&staging.0)
            .with_context(|| format!("cannot write {}", staging.0.display()))?;
        Ok(staging)
    }

    /// Whatever cannot be removed now is removed by the next fetch.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Renames the whole tree; one that stood there was not whole.
fn move_into_place(site: &Path, target: &Path) -> Result<()> {
    if target.exists() {
        fs::remove_dir_all(target)
            .with_context(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(site, target).with_context(|| format!("cannot write {}", target.display()))
}

fn check_pip() -> Result<()> {
    let output = Command::new("python3").args(["-m", "pip", "--version"]).output();
    match output {
        Err(_) => bail!(
            "python3 is missing; install Python 3 with pip, \
             or set LIBTORCH to a libtorch {VERSION}"
        ),
        Ok(output) if !output.status.success() => bail!(
            "python3 has no pip; install it (Debian: apt install python3-pip), \
             or set LIBTORCH to a libtorch {VERSION}"
        ),
        Ok(_) => Ok(()),
    }
}

fn check_disk(folder: &Path, needed: u64) -> Result<()> {
    match bytes::free_at(folder) {
        Some(free) if free < needed => bail!(
            "libtorch needs {} in {} and {} are free; make room, \
             or set XDG_CACHE_HOME to a folder on a larger disk",
            bytes::show(needed),
            folder.display(),
            bytes::show(free)
        ),
        _ => Ok(()),
    }
}

/// Counts downloaded and unpacked bytes together.
fn progress_bar(total: u64) -> Result<ProgressBar> {
    let style = "{bar:40} {bytes} of about {total_bytes}, {elapsed}";
    Ok(ProgressBar::new(total).with_style(ProgressStyle::with_template(style)?))
}

/// Installs into `staging/site`, with pip's own temporary files in `staging` too.
///
/// pip checks each wheel against the hash that the index gives.
fn pip_install(staging: &Path, bar: &ProgressBar, arguments: &[String]) -> Result<()> {
    let log = staging.join("pip.log");
    let mut child = Command::new("python3")
        .args(["-m", "pip", "install", "--no-input", "--no-cache-dir", "--progress-bar=off"])
        .args(["--disable-pip-version-check", "--only-binary=:all:", "--upgrade", "--target"])
        .arg(staging.join("site"))
        .args(arguments)
        .env("TMPDIR", staging)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .context("cannot start python3")?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if INTERRUPTED.load(Ordering::SeqCst) {
            // An interrupt from the keyboard has reached pip too; another one has not.
            let _ = child.kill();
        }
        bar.set_position(bytes::of_folder(staging).min(bar.length().unwrap_or(u64::MAX)));
        std::thread::sleep(Duration::from_millis(300));
    };
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted; what was fetched of libtorch is removed");
    }
    if !status.success() {
        return Err(pip_error(status, &fs::read_to_string(&log).unwrap_or_default()));
    }
    Ok(())
}

/// What pip's last words mean and what to do.
fn pip_error(status: ExitStatus, log: &str) -> anyhow::Error {
    let said = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let advice = if said(&["No space left on device"]) {
        "the disk is full; make room and try again"
    } else if said(&["NewConnectionError", "name resolution", "ConnectTimeout", "unreachable"]) {
        "PyPI cannot be reached; check the network and try again"
    } else if said(&["No matching distribution"]) {
        "pip finds no wheel; check the network, try another Python 3, or set LIBTORCH"
    } else if said(&["HASHES", "hash mismatch"]) {
        "a wheel was damaged on its way; try again"
    } else {
        "pip could not install libtorch"
    };
    let last = log.lines().rev().find(|line| line.starts_with("ERROR"));
    match last {
        Some(line) => anyhow!("{advice}\n{line}"),
        None => anyhow!("{advice} (pip: {status})"),
    }
}

/// The CUDA packages among a wheel's requirements, without the Python ones.
fn cuda_requirements(metadata: &str) -> Vec<String> {
    let requirements = metadata.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    requirements
        .filter(|line| line.starts_with("cuda-toolkit") || line.starts_with("nvidia-"))
        .map(|line| line.split(';').next().unwrap_or(line).trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn cuda_wants_the_toolkit_and_nothing_of_python() {
        let metadata = "Requires-Dist: sympy>=1.13.3\n\
             Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.2; platform_system == \"Linux\"\n\
             Requires-Dist: cuda-bindings<14,>=13.0.3; platform_system == \"Linux\"\n\
             Requires-Dist: nvidia-nccl-cu13==2.28.9; platform_system == \"Linux\"\n\
             Requires-Dist: triton==3.6.0; platform_system == \"Linux\"\n";
        let wanted = ["cuda-toolkit[cublas,cudart]==13.0.2", "nvidia-nccl-cu13==2.28.9"];
        assert_eq!(cuda_requirements(metadata), wanted);
    }

    #[test]
    fn pip_failures_say_what_to_do() {
        let failed = ExitStatus::from_raw(256);
        for (log, advice) in [
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                "the disk is full",
            ),
            (
                "WARNING: NewConnectionError\nERROR: No matching distribution found for torch",
                "PyPI cannot be reached",
            ),
            ("ERROR: No matching distribution found for torch==2.11.0", "pip finds no wheel"),
            ("", "pip could not install libtorch (pip: exit status: 1)"),
        ] {
            let error = pip_error(failed, log).to_string();
            assert!(error.starts_with(advice) && error.lines().count() <= 2, "{error:?}");
        }
    }

    #[test]
    fn a_tree_is_moved_whole_over_a_broken_one() {
        let scratch = tempfile::tempdir().unwrap();
        let (site, target) = (scratch.path().join("site"), scratch.path().join("target"));
        fs::create_dir_all(site.join("torch")).unwrap();
        fs::create_dir_all(target.join("half")).unwrap();
        move_into_place(&site, &target).unwrap();
        assert!(target.join("torch").is_dir() && !target.join("half").exists() && !site.exists());
    }
}
