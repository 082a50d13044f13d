//! Open CASCADE, which reads STEP files: found on the system, or Debian's packages unpacked into
//! the cache, which needs no root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bauta_datasets::cache_root;

use crate::cargo::complete;
use crate::staging::{Staging, lock, move_into_place};

/// Packages whose headers and libraries are read; apt adds their dependencies in the kernel.
const PACKAGES: [&str; 2] = ["libocct-data-exchange-dev", "libocct-ocaf-dev"];

/// A header whose presence shows that the kernel is there.
const HEADER: &str = "usr/include/opencascade/STEPControl_Reader.hxx";

/// The folder like `/` that holds the kernel; `None` if the system has it.
pub fn find_or_fetch() -> Result<Option<PathBuf>> {
    if let Some(root) = std::env::var_os("BAUTA_OCCT").filter(|root| !root.is_empty()) {
        // The build runs in another folder.
        return Ok(Some(std::path::absolute(root)?));
    }
    if Path::new("/").join(HEADER).exists() {
        return Ok(None);
    }
    let cache = cache_root()?;
    let cache = cache.parent().context("the data cache lies in the cache folder")?;
    let folder = cache.join("open-cascade");
    if !folder.join(HEADER).exists() {
        fs::create_dir_all(cache).with_context(|| format!("cannot write {}", cache.display()))?;
        let _lock = lock(&cache.join("open-cascade.lock"), "Open CASCADE")?;
        if !folder.join(HEADER).exists() {
            fetch(&folder)?;
        }
    }
    Ok(Some(folder))
}

/// Downloads the packages by apt, which verifies them, and unpacks them.
fn fetch(folder: &Path) -> Result<()> {
    let names = needed()?;
    eprintln!("Fetching Open CASCADE, which reads STEP files: {}", names.join(" "));
    eprintln!("Licence: LGPL-2.1 with exception");
    let staging = Staging::new(folder.with_extension("partial"))?;
    let quiet = File::create(staging.0.join("apt.log"))?;
    complete(
        Command::new("apt-get").arg("download").args(&names).current_dir(&staging.0).stdout(quiet),
    )
    .context(
        "cannot download Open CASCADE; install libocct-data-exchange-dev, or run `apt-get update`",
    )?;
    let root = staging.0.join("root");
    for entry in fs::read_dir(&staging.0)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == "deb") {
            complete(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&root))?;
        }
    }
    ensure!(root.join(HEADER).exists(), "Debian's packages of Open CASCADE lack {HEADER}");
    move_into_place(&root, folder)
}

/// The packages of the kernel, and of the library that it uses for threads.
fn needed() -> Result<Vec<String>> {
    let no = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let output = Command::new("apt-cache")
        .args(["depends", "--recurse"])
        .args(no.map(|what| format!("--no-{what}")))
        .args(PACKAGES)
        .output()
        .context("Open CASCADE is not installed, and cannot be fetched without apt; install it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names = of_the_kernel(&text);
    names.sort();
    ensure!(!names.is_empty(), "apt knows no Open CASCADE; run `apt-get update`, or install it");
    Ok(names)
}

/// Selects the packages of the kernel and of its threads from a list of packages with dependencies.
fn of_the_kernel(text: &str) -> Vec<String> {
    let wanted = |name: &&str| name.starts_with("libocct-") || name.starts_with("libtbb");
    let packages = text.lines().filter(|line| !line.starts_with([' ', '|', '<']));
    packages.filter(wanted).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_not_fetched() {
        let text = "libocct-ocaf-dev\n  Depends: libocct-ocaf-7.6\nlibocct-ocaf-7.6\n |Depends: \
                    libgl1\nlibgl1\n<virtual>\nlibtbb12\n";
        assert_eq!(of_the_kernel(text), ["libocct-ocaf-dev", "libocct-ocaf-7.6", "libtbb12"]);
    }
}
