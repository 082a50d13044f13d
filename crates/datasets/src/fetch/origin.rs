//! A package's description: where it is published, and how it is verified.

use std::path::Path;

/// A package registry, reached through its own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// npm; the archive is a gzipped tar file.
    Npm,
    /// PyPI; the archive is a wheel, a zip file.
    PyPi,
    /// Debian; the archive is a .deb.
    Debian,
    /// The package index of the machine's Debian release; the wanted parts are packed locally.
    DebianIndex,
}

impl Registry {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "PyPI",
            Self::Debian => "Debian",
            Self::DebianIndex => "Debian's index",
        }
    }
}

/// How a package is verified, by lower-case hexadecimal sha256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The archive's checksum, and files that it must then hold.
    Archive {
        /// Checksum of the archive.
        sha256: &'static str,
        /// Files that must be there.
        files: &'static [&'static str],
    },
    /// Each file's name and checksum, for files that every release of a distribution packs into a
    /// different archive.
    Files(&'static [(&'static str, &'static str)]),
    /// Files that must be there, whose contents change with every release of a distribution; its
    /// own client has verified the signatures of their sources.
    Signed(&'static [&'static str]),
}

impl Proof {
    /// The files that must be there, with their checksums if files are verified one by one.
    pub(crate) fn files(&self) -> Vec<(&'static str, Option<&'static str>)> {
        match *self {
            Self::Archive { files, .. } | Self::Signed(files) => {
                files.iter().map(|&name| (name, None)).collect()
            }
            Self::Files(files) => files.iter().map(|&(name, sum)| (name, Some(sum))).collect(),
        }
    }
}

/// A selection of the files in a package's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The folders in it.
    pub folders: &'static [&'static str],
    /// Suffix of the file names.
    pub ending: &'static str,
}

impl Selection {
    /// Whether a file is wanted, by its path in the package's folder.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let is_below = self.folders.iter().any(|folder| path.starts_with(folder));
        is_below && path.to_string_lossy().ends_with(self.ending)
    }
}

/// A data set or a model inside a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, in commands and as its folder in the cache.
    pub name: &'static str,
    /// A one-line description.
    pub about: &'static str,
    /// Its licence, as far as its publishers state it.
    pub licence: &'static str,
    /// Where the package is published.
    pub registry: Registry,
    /// The package's name there.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Size of the archive in bytes.
    pub bytes: u64,
    /// The folder of the archive that holds the data, ending in `/`; the rest is left out.
    pub inside: &'static str,
    /// Which of its files are wanted, if not all.
    pub selection: Option<Selection>,
    /// How it is verified.
    pub proof: Proof,
}
