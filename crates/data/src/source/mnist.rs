//! MNIST and its drop-in Fashion-MNIST: two IDX files per split.

use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Split};

use crate::source::{InMemory, Statistics, idx};

const GARMENTS: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
];

/// Maximum number of labels; the largest part of the family, EMNIST's, has 814,255.
const MOST_LABELS: usize = 1 << 20;

/// Maximum side of an image in pixels; the family's images have 28.
const LONGEST_SIDE: usize = 64;

/// Opens MNIST in `root`: `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, plain or `.gz`.
pub(crate) fn open(split: Split, root: &Path) -> Result<InMemory, DataError> {
    let classes = (0..10).map(|digit: u8| digit.to_string()).collect();
    read("mnist", classes, Statistics::MNIST, split, root)
}

/// Opens Fashion-MNIST in `root`, under the same file names.
pub(crate) fn open_fashion(split: Split, root: &Path) -> Result<InMemory, DataError> {
    let classes = GARMENTS.map(str::to_owned).to_vec();
    read("fashion-mnist", classes, Statistics::FASHION_MNIST, split, root)
}

fn read(
    name: &str,
    classes: Vec<String>,
    statistics: Statistics,
    split: Split,
    root: &Path,
) -> Result<InMemory, DataError> {
    let stem = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images_path = find(name, root, &format!("{stem}-images-idx3-ubyte"))?;
    let labels_path = find(name, root, &format!("{stem}-labels-idx1-ubyte"))?;
    let labels = idx::read::<1>(&labels_path, |[count]| match count {
        0..=MOST_LABELS => Ok(()),
        _ => Err(format!("claims {count} labels, more than {MOST_LABELS}")),
    })?;
    let count = labels.values.len();
    let images = idx::read::<3>(&images_path, |[images, height, width]| {
        if images != count {
            return Err(format!("{count} labels for {images} images in it"));
        }
        if height > LONGEST_SIDE || width > LONGEST_SIDE {
            return Err(format!("claims images of {height} × {width} pixels"));
        }
        Ok(())
    })?;
    let [_, height, width] = images.shape;
    let title = format!("{name} {split}");
    InMemory::new(title, [height, width, 1], images.values, labels.values, classes, statistics)
}

fn find(name: &str, root: &Path, file: &str) -> Result<PathBuf, DataError> {
    let candidates = [root.join(file), root.join(format!("{file}.gz"))];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| DataError::Absent {
        path: root.to_path_buf(),
        wanted: format!("{file}[.gz] of {name}"),
        remedy: format!("fetch it with `cargo xtask data fetch {name}`"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::Source;
    use crate::source::idx::tests::{encode, gzip};

    #[test]
    fn plain_and_compressed_files_are_the_same_data_set() {
        let pixels: Vec<u8> = (0..2 * 28 * 28).map(|i| i as u8).collect();
        for compressed in [false, true] {
            let root = tempfile::tempdir().unwrap();
            for (file, bytes) in [
                ("t10k-images-idx3-ubyte", encode(&[2, 28, 28], &pixels)),
                ("t10k-labels-idx1-ubyte", encode(&[2], &[3, 9])),
            ] {
                if compressed {
                    fs::write(root.path().join(format!("{file}.gz")), gzip(&bytes)).unwrap();
                } else {
                    fs::write(root.path().join(file), bytes).unwrap();
                }
            }
            let digits = open(Split::Test, root.path()).unwrap();
            assert_eq!((digits.len(), digits.channels(), digits.label(1)), (2, 1, Some(9)));
            assert_eq!(digits.image(1).unwrap().pixels(), &pixels[784..]);
            assert_eq!(open_fashion(Split::Test, root.path()).unwrap().classes()[9], "ankle-boot");
            let missing = open(Split::Train, root.path()).unwrap_err().to_string();
            assert!(missing.contains("data fetch mnist"), "{missing}");
        }
    }

    #[test]
    fn labels_of_another_length_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        let write = |file, bytes| fs::write(root.path().join(file), bytes).unwrap();
        write("train-images-idx3-ubyte", encode(&[2, 4, 4], &[0; 32]));
        write("train-labels-idx1-ubyte", encode(&[3], &[0, 1, 2]));
        let error = open(Split::Train, root.path()).unwrap_err().to_string();
        assert!(error.contains("3 labels for 2 images"), "{error}");
        write("train-labels-idx1-ubyte", encode(&[2], &[0, 10]));
        assert!(open(Split::Train, root.path()).is_err());
    }
}
