//! Where to look for libtorch, and in which order.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{driver, fetch, folder, link};
use crate::workspace::{self, Workspace};

/// A libtorch that was found and verified.
#[derive(Debug, PartialEq)]
pub struct Libtorch {
    /// The folder with `lib` and `include`.
    pub folder: PathBuf,
    /// How it was found, in words.
    pub origin: &'static str,
}

/// The inputs that determine where libtorch comes from.
pub struct Search {
    /// `LIBTORCH`, if the user set it.
    pub user: Option<PathBuf>,
    /// The Python whose torch to take, if the user asked for it.
    pub python: Option<OsString>,
    /// The repository's link.
    pub link: PathBuf,
    /// The project's cache folder.
    pub cache: PathBuf,
    /// Whether CUDA's libraries are needed.
    pub cuda: bool,
}

impl Search {
    /// Reads the environment.
    pub fn new(workspace: &Workspace) -> Result<Self> {
        let link = workspace.libtorch_link();
        // Cargo passes its configured default, our own link, to the programs that it runs.
        let user = env::var_os("LIBTORCH").filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self {
            user: user.filter(|folder| *folder != link),
            python: env::var_os("LIBTORCH_USE_PYTORCH")
                .filter(|value| value == "1")
                .map(|_| "python3".into()),
            link,
            cache: workspace::cache()?,
            cuda: driver::nvidia_driver().is_some(),
        })
    }

    /// Finds an existing libtorch. An unusable one that the user named is an error.
    pub fn find(&self) -> Result<Option<Libtorch>> {
        if let Some(folder) = &self.user {
            let folder = std::path::absolute(folder)?;
            folder::verify(&folder)
                .context("LIBTORCH is set to an unusable folder; correct or unset it")?;
            return Ok(Some(Libtorch { folder, origin: "LIBTORCH" }));
        }
        if let Some(python) = &self.python {
            let folder = torch_of(python)?;
            folder::verify(&folder)
                .context("LIBTORCH_USE_PYTORCH=1, but the active Python's torch cannot be used")?;
            return Ok(Some(Libtorch { folder, origin: "the active Python" }));
        }
        if let Ok(folder) = fs::read_link(&self.link)
            && !folder.starts_with(&self.cache)
            && folder::verify(&folder).is_ok()
        {
            return Ok(Some(Libtorch { folder, origin: "an earlier set-up" }));
        }
        let folder = self.own_folder().join("torch");
        let found = folder::verify(&folder).is_ok();
        Ok(found.then_some(Libtorch { folder, origin: "the cache" }))
    }

    /// Finds libtorch or fetches it, and points the repository's link to it.
    pub fn find_or_fetch(&self) -> Result<Libtorch> {
        let libtorch = match self.find()? {
            Some(libtorch) => libtorch,
            None => {
                fetch::fetch(&self.own_folder(), self.cuda)?;
                self.find()?.context("what was fetched and verified is there")?
            }
        };
        link::point(&self.link, &libtorch.folder)?;
        Ok(libtorch)
    }

    /// The folder of our own that suits this machine.
    fn own_folder(&self) -> PathBuf {
        let device = if self.cuda { "cuda" } else { "cpu" };
        self.cache.join(format!("libtorch-{}-{device}", folder::VERSION))
    }
}

/// The folder of a Python's torch, found without importing it.
fn torch_of(python: &OsString) -> Result<PathBuf> {
    let ask = "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s else '')";
    let output = Command::new(python)
        .args(["-c", ask])
        .output()
        .context("LIBTORCH_USE_PYTORCH=1 needs python3 on the PATH")?;
    let init = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match Path::new(&init).parent() {
        Some(folder) if output.status.success() && !init.is_empty() => Ok(folder.to_owned()),
        _ => bail!(
            "LIBTORCH_USE_PYTORCH=1, but the active Python has no torch; \
             install torch=={} or unset it",
            folder::VERSION
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::tests::write_fake_torch;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A machine where every place holds a libtorch.
    fn arbitrary_machine(scratch: &Path) -> Search {
        for place in ["user", "site/torch", "linked", "cache/libtorch-2.11.0-cpu/torch"] {
            write_fake_torch(&scratch.join(place), "2.11.0+cpu");
        }
        let python = scratch.join("python3");
        let init = scratch.join("site/torch/__init__.py");
        fs::write(&python, format!("#!/bin/sh\necho {}\n", init.display())).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(scratch.join("linked"), scratch.join(".libtorch")).unwrap();
        Search {
            user: Some(scratch.join("user")),
            python: Some(python.into()),
            link: scratch.join(".libtorch"),
            cache: scratch.join("cache"),
            cuda: false,
        }
    }

    #[test]
    fn places_are_taken_in_the_documented_order() {
        let scratch = tempfile::tempdir().unwrap();
        let mut search = arbitrary_machine(scratch.path());
        let found = |search: &Search| search.find().unwrap().map(|libtorch| libtorch.origin);

        assert_eq!(found(&search), Some("LIBTORCH"));
        search.user = None;
        assert_eq!(found(&search), Some("the active Python"));
        search.python = None;
        assert_eq!(found(&search), Some("an earlier set-up"));
        fs::remove_file(&search.link).unwrap();
        assert_eq!(found(&search), Some("the cache"));
        search.cuda = true;
        assert_eq!(found(&search), None, "the CPU's libtorch does not do for a GPU");
    }

    #[test]
    fn finding_points_the_link() {
        let scratch = tempfile::tempdir().unwrap();
        let search = arbitrary_machine(scratch.path());
        let libtorch = search.find_or_fetch().unwrap();
        assert_eq!(libtorch.folder, scratch.path().join("user"));
        assert_eq!(fs::read_link(&search.link).unwrap(), libtorch.folder);
    }

    #[test]
    fn a_link_into_the_cache_follows_the_device() {
        let scratch = tempfile::tempdir().unwrap();
        let mut search = arbitrary_machine(scratch.path());
        (search.user, search.python, search.cuda) = (None, None, true);
        fs::remove_file(&search.link).unwrap();
        symlink(search.cache.join("libtorch-2.11.0-cpu/torch"), &search.link).unwrap();
        assert_eq!(search.find().unwrap(), None);
    }

    #[test]
    fn a_users_own_that_does_not_do_is_an_error_and_never_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let mut search = arbitrary_machine(scratch.path());
        write_fake_torch(&scratch.path().join("user"), "2.10.0");
        let error = format!("{:#}", search.find().unwrap_err());
        assert!(error.contains("LIBTORCH is set") && error.contains("2.10.0"), "{error}");

        search.user = None;
        search.python = Some("true".into());
        let error = search.find().unwrap_err().to_string();
        assert!(error.contains("the active Python has no torch"), "{error}");
        search.python = Some("/no/such/python3".into());
        let error = search.find().unwrap_err().to_string();
        assert!(error.contains("needs python3"), "{error}");
    }
}
