//! The required contents of a libtorch folder, and its version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The libtorch that the tensor crates are written against.
pub const VERSION: &str = "2.11.0";

const PARTS: [&str; 4] =
    ["lib/libtorch_cpu.so", "lib/libc10.so", "lib/libtorch.so", "include/torch"];

/// Checks that `folder` holds a complete libtorch of the right version.
///
/// Accepts both layouts: the `torch` folder of a Python wheel, and libtorch's own archive.
pub fn verify(folder: &Path) -> Result<()> {
    for part in PARTS {
        if !folder.join(part).exists() {
            bail!("{} is not a complete libtorch: {part} is missing", folder.display());
        }
    }
    let found = version(folder)
        .with_context(|| format!("cannot read the version of libtorch in {}", folder.display()))?;
    let release = found.split('+').next().unwrap_or(&found);
    if release != VERSION {
        bail!("{} is libtorch {found}; version {VERSION} is needed", folder.display());
    }
    Ok(())
}

/// The version, such as `2.11.0+cu130`, from libtorch's `build-version` or the wheel's
/// `version.py`.
pub fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__ ="))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Writes a tree that looks like a wheel's `torch` folder.
    pub fn write_fake_torch(folder: &Path, version: &str) {
        for part in PARTS {
            let path = folder.join(part);
            fs::create_dir_all(path.parent().expect("every part lies in a folder")).unwrap();
            fs::write(path, "").unwrap();
        }
        let text = format!("__all__ = ['__version__']\n__version__ = '{version}'\ndebug = False\n");
        fs::write(folder.join("version.py"), text).unwrap();
    }

    #[test]
    fn takes_both_layouts_and_refuses_other_versions_and_parts() {
        let scratch = tempfile::tempdir().unwrap();
        let torch = scratch.path().join("torch");
        write_fake_torch(&torch, "2.11.0+cu130");
        verify(&torch).unwrap();

        fs::write(torch.join("build-version"), "2.11.0+cpu\n").unwrap();
        verify(&torch).unwrap();
        fs::write(torch.join("build-version"), "2.10.0+cpu\n").unwrap();
        let error = verify(&torch).unwrap_err().to_string();
        assert!(error.ends_with("is libtorch 2.10.0+cpu; version 2.11.0 is needed"), "{error}");

        fs::remove_file(torch.join("lib/libc10.so")).unwrap();
        let error = verify(&torch).unwrap_err().to_string();
        assert!(error.ends_with("is not a complete libtorch: lib/libc10.so is missing"), "{error}");
        assert!(verify(&scratch.path().join("nowhere")).is_err());
    }
}
