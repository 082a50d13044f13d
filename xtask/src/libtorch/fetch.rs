//! Fetching libtorch as Python wheels with pip, into a folder that appears whole.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::folder::{self, VERSION};
use crate::bytes;
use crate::pip::{Pip, progress_bar};
use crate::staging::{Staging, check_disk, lock, move_into_place};

/// What the CPU build of the wheel still links to.
const CPU_REQUIREMENTS: [&str; 2] = ["nvidia-cuda-runtime==13.0.*", "nvidia-cuda-cupti==13.0.*"];

/// Bytes to download and bytes unpacked.
const CPU_BYTES: [u64; 2] = [545_000_000, 1_250_000_000];
const CUDA_BYTES: [u64; 2] = [2_500_000_000, 5_600_000_000];

const PIP: Pip = Pip { what: "libtorch", instead: "set LIBTORCH to a libtorch 2.11.0" };

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
    let torch = ["--no-deps".to_owned(), format!("torch=={VERSION}")];
    if cuda {
        PIP.install(&staging.0, &site, &bar, &torch)?;
        let metadata = site.join(format!("torch-{VERSION}.dist-info/METADATA"));
        let metadata = fs::read_to_string(&metadata)
            .with_context(|| format!("cannot read {}", metadata.display()))?;
        PIP.install(&staging.0, &site, &bar, &cuda_requirements(&metadata))?;
    } else {
        let requirements = [&torch[..], &CPU_REQUIREMENTS.map(str::to_owned)].concat();
        PIP.install(&staging.0, &site, &bar, &requirements)?;
    }
    bar.finish_and_clear();

    folder::verify(&site.join("torch")).context("what pip installed cannot be used")?;
    if !site.join("nvidia").is_dir() {
        bail!("what pip installed cannot be used: the NVIDIA libraries are missing");
    }
    move_into_place(&site, target)
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
}
