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
        MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .exec()
            .context("cargo metadata failed")
    }

    /// The folder that cargo builds into.
    ///
    /// This is read without dependencies, in a tenth of the time: every command waits for it.
    pub fn target_folder(&self) -> Result<PathBuf> {
        let metadata = MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("cargo metadata failed")?;
        Ok(metadata.target_directory.into())
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
