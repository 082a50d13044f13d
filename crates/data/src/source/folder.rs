//! A folder of JPEG, PNG and WebP files of any size.
//!
//! Pictures in subfolders are labelled by the subfolder's name; pictures that
//! lie directly in the folder have no labels.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::listing::{entries, is_hidden, is_picture, split_folder};
use crate::dataset::Split;
use crate::error::DataError;
use crate::image::Image;
use crate::source::{Source, Statistics};

/// Pictures in files, in the order of their paths.
#[derive(Debug)]
pub struct Folder {
    paths: Vec<PathBuf>,
    labels: Option<Vec<u32>>,
    classes: Vec<String>,
}

impl Folder {
    /// Lists the pictures of `root/train`, or of `root/val` or `root/test`; where
    /// there are no such subfolders, all of `root` is the training split.
    ///
    /// Classes are numbered by their names' order among the training classes,
    /// so both splits agree. Hidden files and files of other types are left out.
    ///
    /// # Errors
    /// When the split or its pictures are missing, when pictures lie both
    /// directly in the folder and in subfolders, or when a test class is not
    /// a training class.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let folder = split_folder(split, root)?;
        let all = entries(&folder)?;
        let (subfolders, files): (Vec<PathBuf>, Vec<PathBuf>) =
            all.into_iter().partition(|path| path.is_dir());
        let flat: Vec<PathBuf> = files.into_iter().filter(|path| is_picture(path)).collect();
        let by_class = subfolders
            .iter()
            .map(|subfolder| Ok((name_of(subfolder), pictures_below(subfolder)?)))
            .collect::<Result<Vec<_>, DataError>>()?;
        let labelled = by_class.iter().any(|(_, paths)| !paths.is_empty());
        match (labelled, flat.is_empty()) {
            (true, true) => Self::of_classes(training_classes(root, &by_class)?, by_class, &folder),
            (false, false) => Ok(Self { paths: flat, labels: None, classes: Vec::new() }),
            (true, false) => Err(DataError::malformed(
                &folder,
                "pictures lie both directly in it and in subfolders; keep one of the two",
            )),
            (false, true) => Err(DataError::Absent {
                path: folder,
                wanted: "JPEG, PNG or WebP files".to_owned(),
                remedy: "name a folder of pictures, or of one subfolder for each class".to_owned(),
            }),
        }
    }

    fn of_classes(
        classes: Vec<String>,
        by_class: Vec<(String, Vec<PathBuf>)>,
        folder: &Path,
    ) -> Result<Self, DataError> {
        let (mut paths, mut labels) = (Vec::new(), Vec::new());
        for (class, pictures) in by_class {
            let label = classes.binary_search(&class).map_err(|_| {
                DataError::malformed(folder, format!("its class `{class}` is not in train/"))
            })?;
            labels.extend(std::iter::repeat_n(label as u32, pictures.len()));
            paths.extend(pictures);
        }
        Ok(Self { paths, labels: Some(labels), classes })
    }
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let path = &self.paths[index];
        let file = fs::read(path).map_err(DataError::io(path))?;
        Image::decode(&file)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
    }

    fn describe(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn statistics(&self) -> Statistics {
        Statistics::IMAGENET
    }
}

/// The sorted names of the subfolders of `root/train`, or of those given where it is absent.
fn training_classes(
    root: &Path,
    given: &[(String, Vec<PathBuf>)],
) -> Result<Vec<String>, DataError> {
    let train = root.join("train");
    let mut classes: Vec<String> = if train.is_dir() {
        entries(&train)?.iter().filter(|path| path.is_dir()).map(|path| name_of(path)).collect()
    } else {
        given.iter().map(|(class, _)| class.clone()).collect()
    };
    classes.sort();
    Ok(classes)
}

/// The pictures at any depth below a class's folder, by path; links are followed.
fn pictures_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !is_hidden(entry.path()))
        .map(|entry| {
            let entry = entry.map_err(|error| DataError::malformed(folder, error))?;
            let picture = entry.file_type().is_file() && is_picture(entry.path());
            Ok(picture.then(|| entry.into_path()))
        })
        .filter_map(Result::transpose)
        .collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;
    use crate::image::tests::{encode, gradient};

    fn write(path: PathBuf, format: ImageFormat) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, encode(&gradient(8, 6, 1), format)).unwrap();
    }

    #[test]
    fn class_folders_are_sorted_and_splits_agree() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(at("train/dog/2.PNG"), ImageFormat::Png);
        write(at("train/dog/deep/1.webp"), ImageFormat::WebP);
        write(at("train/cat/9.jpeg"), ImageFormat::Jpeg);
        write(at("train/cat/.hidden.png"), ImageFormat::Png);
        write(at("val/dog/1.jpg"), ImageFormat::Jpeg);
        fs::write(at("train/dog/notes.txt"), "not a picture").unwrap();

        let train = Folder::open(Split::Train, root.path()).unwrap();
        assert_eq!(train.classes(), ["cat", "dog"]);
        let labels: Vec<_> = (0..train.len()).map(|index| train.label(index)).collect();
        assert_eq!(labels, [Some(0), Some(1), Some(1)]);
        assert!(train.describe(1).ends_with("2.PNG"), "{}", train.describe(1));
        for index in 0..train.len() {
            let image = train.image(index).unwrap();
            assert_eq!((image.height(), image.width(), image.channels()), (8, 6, 3));
        }
        // One class only, yet the training split's number.
        let val = Folder::open(Split::Test, root.path()).unwrap();
        assert_eq!((val.len(), val.label(0)), (1, Some(1)));

        write(at("val/emu/1.jpg"), ImageFormat::Jpeg);
        let error = Folder::open(Split::Test, root.path()).unwrap_err().to_string();
        assert!(error.contains("emu"), "{error}");
    }

    #[test]
    fn a_flat_folder_has_no_labels() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        assert!(Folder::open(Split::Train, root.path()).is_err(), "an empty folder");
        write(at("b.png"), ImageFormat::Png);
        write(at("a.jpg"), ImageFormat::Jpeg);
        let folder = Folder::open(Split::Train, root.path()).unwrap();
        assert_eq!((folder.len(), folder.label(0), folder.classes().len()), (2, None, 0));
        assert!(folder.describe(0).ends_with("a.jpg"));
        let error = Folder::open(Split::Test, root.path()).unwrap_err().to_string();
        assert!(error.contains("`val`"), "{error}");

        write(at("class/c.png"), ImageFormat::Png);
        assert!(Folder::open(Split::Train, root.path()).is_err(), "both layouts at once");
    }

    #[test]
    fn a_corrupt_picture_is_named() {
        let root = tempfile::tempdir().unwrap();
        let whole = encode(&gradient(8, 6, 1), ImageFormat::Png);
        fs::write(root.path().join("broken.png"), &whole[..whole.len() / 2]).unwrap();
        let folder = Folder::open(Split::Train, root.path()).unwrap();
        let error = folder.image(0).unwrap_err().to_string();
        assert!(error.contains("broken.png"), "{error}");
    }
}
