//! Checks and moves a run's folder that already exists.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bauta_files::FolderLock;

/// Checks, before anything long starts, that a run can use `folder`.
///
/// A new run takes a folder that is absent, empty or an earlier run's; it
/// never touches anything else. `--resume` needs an earlier run's.
pub fn check(folder: &Path, resume: bool) -> Result<()> {
    let earlier = folder.join("recipe.toml").is_file();
    refuse_held(folder)?;
    if resume && !earlier {
        bail!(
            "{} contains no run to resume; remove --resume, or give the run's folder with --out",
            folder.display()
        );
    }
    if !earlier && !is_absent_or_empty(folder)? {
        bail!(
            "{} is not empty and contains no run; choose another folder with --out",
            folder.display()
        );
    }
    Ok(())
}

/// Refuses a folder that another process trains in.
fn refuse_held(folder: &Path) -> Result<()> {
    if FolderLock::is_held(folder) {
        bail!(
            "another process trains in {}; wait for its end, or choose another folder with --out",
            folder.display()
        );
    }
    Ok(())
}

/// Moves an earlier run's folder to the first free `FOLDER.N` and says where.
///
/// One in which another process has begun to train since [`check`] stays where it is, and is
/// refused.
pub fn move_earlier_aside(folder: &Path) -> Result<Option<PathBuf>> {
    if is_absent_or_empty(folder)? {
        return Ok(None);
    }
    refuse_held(folder)?;
    // Without a slash at the end, after which a suffix would name a folder within.
    let folder: PathBuf = folder.components().collect();
    let numbered = |number: u32| {
        let mut name = folder.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let aside = (1..).map(numbered).find(|path| !path.exists()).context("a number is free")?;
    fs::rename(&folder, &aside)
        .with_context(|| format!("cannot move {} to {}", folder.display(), aside.display()))?;
    Ok(Some(aside))
}

fn is_absent_or_empty(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot use {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_run(folder: &Path, recipe: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("recipe.toml"), recipe).unwrap();
    }

    #[test]
    fn earlier_runs_are_moved_aside_in_order_and_none_is_lost() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("mae");
        assert_eq!(move_earlier_aside(&folder).unwrap(), None);
        for (number, recipe) in [(1, "first"), (2, "second")] {
            write_run(&folder, recipe);
            let aside = move_earlier_aside(&folder).unwrap().expect("it was not empty");
            assert_eq!(aside, scratch.path().join(format!("mae.{number}")));
            assert_eq!(fs::read_to_string(aside.join("recipe.toml")).unwrap(), recipe);
            assert!(!folder.exists());
        }
        write_run(&folder, "third");
        let slash = move_earlier_aside(&folder.join("")).unwrap();
        assert_eq!(slash, Some(scratch.path().join("mae.3")));
    }

    #[test]
    fn only_absent_empty_and_runs_folders_are_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("run");
        check(&folder, false).unwrap();
        assert!(check(&folder, true).unwrap_err().to_string().contains("no run to resume"));
        fs::create_dir(&folder).unwrap();
        check(&folder, false).unwrap();
        fs::write(folder.join("thesis.txt"), "").unwrap();
        let error = check(&folder, false).unwrap_err().to_string();
        assert!(error.contains("is not empty and contains no run"), "{error}");
        write_run(&folder, "");
        let held = FolderLock::take(&folder).unwrap();
        for resume in [false, true] {
            let error = check(&folder, resume).unwrap_err().to_string();
            assert!(error.contains("another process trains in"), "{error}");
        }
        // It may have begun while this process built the program.
        let error = move_earlier_aside(&folder).unwrap_err().to_string();
        assert!(error.contains("another process trains in"), "{error}");
        assert!(folder.join("recipe.toml").is_file());
        drop(held);
        check(&folder, false).unwrap();
        check(&folder, true).unwrap();
        assert!(check(&folder.join("thesis.txt"), false).is_err(), "a file is not a folder");
    }
}
