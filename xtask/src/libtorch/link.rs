//! The repository's link to libtorch, replaced in one step.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Makes `link` point to `target`; an old link is replaced without a gap.
pub fn point(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
        bail!("{} is not a link; move it away and try again", link.display());
    }
    let mut name = link.file_name().context("a link has a name")?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = link.with_file_name(name);
    symlink(target, &beside).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, link).with_context(|| format!("cannot replace {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_links_also_dangling_ones_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join(".libtorch");
        for target in ["/nowhere/a", "/nowhere/b", "/nowhere/b"] {
            point(&link, Path::new(target)).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside it");

        let folder = scratch.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let error = point(&folder, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.ends_with("is not a link; move it away and try again"), "{error}");
    }
}
