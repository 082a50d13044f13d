//! Paths: the repository, its packages and the user's cache folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use directories::BaseDirs;

/// The repository that this program was built from.
pub struct Workspace {
    /// Its root folder.
    pub root: PathBuf,
}

impl Workspace {
    /// Finds the repository from the place of this program's own sources.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask lies in the workspace's root folder")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of the recipes, relative where that is shorter to read.
    pub fn recipes(&self) -> PathBuf {
        self.shown(&self.root.join("crates/experiments/recipes"))
    }

    /// The folder of the claims, relative where that is shorter to read.
    pub fn claims(&self) -> PathBuf {
        self.shown(&self.root.join("crates/experiments/claims"))
    }

    /// The folder of the tables of results, relative where that is shorter to read.
    pub fn tables(&self) -> PathBuf {
        self.shown(&self.root.join("crates/experiments/tables"))
    }

    /// The link through which plain cargo and editors find libtorch.
    pub fn libtorch_link(&self) -> PathBuf {
        self.root.join(".libtorch")
    }

    /// cargo's metadata of the workspace and of everything that it depends on.
    pub fn metadata(&self) -> Result<Metadata> {
        self.metadata_command().exec().context("cargo metadata failed")
    }

    /// cargo runs where our builds run: it takes a relative `CARGO_TARGET_DIR` from its own folder.
    fn metadata_command(&self) -> MetadataCommand {
        let mut command = MetadataCommand::new();
        command.manifest_path(self.root.join("Cargo.toml")).current_dir(&self.root);
        command
    }

    /// `path` as seen from the current folder, if it lies below it.
    pub fn shown(&self, path: &Path) -> PathBuf {
        let current = std::env::current_dir().unwrap_or_default();
        path.strip_prefix(current).unwrap_or(path).to_owned()
    }
}

/// The user's cache folder for this project.
pub fn cache() -> Result<PathBuf> {
    let folders = BaseDirs::new().context("no home folder is known; set HOME")?;
    Ok(folders.cache_dir().join("bauta"))
}

/// The workspace's own packages, by name.
pub fn members(metadata: &Metadata) -> Vec<&Package> {
    let mut packages = metadata.workspace_packages();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::cargo;

    #[test]
    fn a_relative_target_folder_is_where_builds_write() {
        let workspace = Workspace::find().unwrap();
        let asked = workspace.metadata_command().cargo_command();
        assert_eq!(asked.get_current_dir(), Some(&*workspace.root));
        assert_eq!(asked.get_current_dir(), cargo(&workspace, "build").get_current_dir());
    }
}
