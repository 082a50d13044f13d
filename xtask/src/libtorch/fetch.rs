//! Fetches libtorch as Python wheels with pip, into a folder that appears only once complete.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::folder::{self, VERSION};
use crate::bytes;
use crate::pip::{Pip, progress_bar};
use crate::staging::{Staging, check_disk, lock, move_into_place};

/// The wheels by version and SHA-256, in the form of pip's requirements.
const CPU_WHEELS: &str = include_str!("wheels-cpu.txt");
const CUDA_WHEELS: &str = include_str!("wheels-cuda.txt");

/// Bytes to download and bytes unpacked.
const CPU_BYTES: [u64; 2] = [545_000_000, 1_250_000_000];
const CUDA_BYTES: [u64; 2] = [2_500_000_000, 5_600_000_000];

const PIP: Pip = Pip { what: "libtorch", instead: "set LIBTORCH to a libtorch 2.11.0" };

/// Fills `target` (which then holds `torch` and `nvidia`) from the PyPI wheels.
///
/// Works in `TARGET.partial`, which whoever holds the lock next to it can remove, and renames it at
/// the end, so that a tree at `target` is complete.
pub fn fetch(target: &Path, cuda: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("libtorch is fetched on Linux only; elsewhere set LIBTORCH to a libtorch {VERSION}");
    }
    let [download, unpacked] = if cuda { CUDA_BYTES } else { CPU_BYTES };
    let parent = target.parent().context("the cache folder has a parent")?;
    PIP.check()?;
    check_disk(PIP.what, parent, download + unpacked)?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _lock = lock(&target.with_added_extension("lock"), PIP.what)?;
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
    let bar = progress_bar(download + unpacked)?;
    let site = staging.0.join("site");
    let wheels = staging.0.join("wheels.txt");
    fs::write(&wheels, if cuda { CUDA_WHEELS } else { CPU_WHEELS })
        .with_context(|| format!("cannot write {}", wheels.display()))?;
    let arguments = ["--no-deps", "--require-hashes", "-r", &wheels.to_string_lossy()];
    PIP.install(&staging.0, &site, &bar, &arguments.map(str::to_owned))?;
    bar.finish_and_clear();

    folder::verify(&site.join("torch")).context("what pip installed cannot be used")?;
    if !site.join("nvidia").is_dir() {
        bail!("what pip installed cannot be used: the NVIDIA libraries are missing");
    }
    move_into_place(&site, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_is_pinned_by_version_and_hash_for_both_processors() {
        for (wheels, packages) in [(CPU_WHEELS, 3), (CUDA_WHEELS, 16)] {
            let lines = wheels.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let entries: Vec<&str> = lines.clone().filter(|line| !line.starts_with(' ')).collect();
            assert_eq!(entries.len(), packages, "{entries:?}");
            assert!(entries.contains(&format!("torch=={VERSION} \\").as_str()), "{entries:?}");
            let pinned = |entry: &&str| entry.contains("==") && entry.ends_with('\\');
            assert!(entries.iter().all(pinned), "{entries:?}");
            let hashes: Vec<&str> =
                lines.filter_map(|line| line.trim().strip_prefix("--hash=sha256:")).collect();
            let whole = |hash: &str| {
                let digits = hash.trim_end_matches(" \\");
                digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            };
            assert!(hashes.iter().all(|hash| whole(hash)), "{hashes:?}");
            // Two processors, and torch for seven Pythons.
            assert_eq!(hashes.len(), 2 * (packages - 1) + 14);
        }
    }
}
