//! Pictures beside `.txt` files, in a folder of the user's or in Tux Paint's.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Captioned, Unpaired};
use crate::error::DataError;
use crate::image::{Decoding, Image};
use crate::regular;
use crate::source::listing::{files_below, has_extension, is_picture, shown};
use crate::source::{Source, Statistics};

/// Pictures and captions that belong together, and those that do not.
pub(super) struct Listing {
    files: PairFiles,
    /// Of each picture; empty where there is none.
    captions: Vec<String>,
    /// Pictures of the former without a caption, or with an empty one.
    mute: Vec<PathBuf>,
    /// Captions without a picture, with their files.
    blind: Vec<(PathBuf, String)>,
    notes: Vec<String>,
}

impl Listing {
    /// Tux Paint's stamps that are PNG files with a caption, without mirror images; categories
    /// are the folders. Captions of stamps that are SVG drawings alone are left out.
    pub(super) fn stamps(root: &Path, decoding: Decoding) -> Result<Self, DataError> {
        let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let is_stamp = |path: &Path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            has_extension(path, &["png"]) && !stem.ends_with("_mirror")
        };
        let mut listing = Self::read(root, is_stamp, first_line, decoding)?;
        listing.files.is_square = true;
        listing.blind.clear();
        Ok(listing)
    }

    /// Every picture below a folder; its subfolders are classes where all pictures lie in
    /// two of them or more.
    pub(super) fn folder(root: &Path, decoding: Decoding) -> Result<Self, DataError> {
        Self::read(root, is_picture, str::to_owned, decoding)
    }

    fn read(
        root: &Path,
        wanted: impl Fn(&Path) -> bool,
        caption: impl Fn(&str) -> String,
        decoding: Decoding,
    ) -> Result<Self, DataError> {
        let listed = files_below(root, wanted)?;
        let texts = files_below(root, |path| has_extension(path, &["txt"]))?;
        if let Some(special) = listed.special.iter().chain(&texts.special).next() {
            let problem = "is a pipe, socket or device and no file; remove it";
            return Err(DataError::malformed(special, problem));
        }
        if listed.paths.is_empty() {
            return Err(DataError::Absent {
                path: root.to_path_buf(),
                wanted: "pictures".to_owned(),
                remedy: "a data set of pairs is NAME.jpg (.png, .webp) beside NAME.txt".to_owned(),
            });
        }
        let mut notes = Vec::new();
        if !listed.foreign.is_empty() {
            let count = listed.foreign.len();
            notes.push(format!(
                "{count} pictures of formats that are not read: {}",
                names(root, listed.foreign.iter())
            ));
        }
        let mut words: HashMap<PathBuf, (PathBuf, String)> = HashMap::new();
        for path in texts.paths {
            let text = String::from_utf8(regular::read(&path)?).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                DataError::malformed(&path, format!("is not UTF-8 from byte {at} on; store it so"))
            })?;
            let text = caption(text.trim_start_matches('\u{feff}'));
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            words.insert(path.with_extension(""), (path, text));
        }
        let mut mute = Vec::new();
        let mut captions = Vec::new();
        let mut taken = BTreeSet::new();
        for path in &listed.paths {
            let stem = path.with_extension("");
            let text = words.get(&stem).map(|(_, text)| text.clone()).unwrap_or_default();
            taken.insert(stem);
            if text.is_empty() {
                mute.push(path.clone());
            }
            captions.push(text);
        }
        let mut blind: Vec<(PathBuf, String)> = words
            .into_iter()
            .filter(|(stem, (_, text))| !taken.contains(stem) && !text.is_empty())
            .map(|(_, found)| found)
            .collect();
        blind.sort();
        let files = PairFiles::new(root, listed.paths, decoding);
        Ok(Self { files, captions, mute, blind, notes })
    }

    /// What was found besides pairs, a sentence each.
    pub(super) fn notes(&self, root: &Path, unpaired: Unpaired) -> Vec<String> {
        let fate = |alone: &str| match unpaired {
            Unpaired::Train => format!("trained on as {alone} alone"),
            Unpaired::Skip => "left out".to_owned(),
        };
        let mut notes: Vec<String> =
            self.notes.iter().map(|note| format!("{}: {note}", root.display())).collect();
        if !self.mute.is_empty() {
            notes.push(format!(
                "{}: {} pictures have no caption ({}) and are {}",
                root.display(),
                self.mute.len(),
                names(root, self.mute.iter()),
                fate("images")
            ));
        }
        if !self.blind.is_empty() {
            notes.push(format!(
                "{}: {} captions have no picture ({}) and are {}",
                root.display(),
                self.blind.len(),
                names(root, self.blind.iter().map(|(path, _)| path)),
                fate("texts")
            ));
        }
        notes
    }

    pub(super) fn captioned(self, unpaired: Unpaired) -> Captioned {
        let all = Captioned {
            images: Arc::new(self.files),
            captions: self.captions,
            texts: self.blind.into_iter().map(|(_, text)| text).collect(),
        };
        if unpaired == Unpaired::Train {
            return all;
        }
        let whole: Vec<usize> =
            (0..all.captions.len()).filter(|&index| !all.captions[index].is_empty()).collect();
        Captioned { texts: Vec::new(), ..all.at(&whole) }
    }
}

/// The first few of many paths, below the root.
fn names<'a>(root: &Path, paths: impl ExactSizeIterator<Item = &'a PathBuf>) -> String {
    let count = paths.len();
    let name = |path: &PathBuf| shown(path.strip_prefix(root).unwrap_or(path).as_os_str());
    let mut named: Vec<String> = paths.take(5).map(name).collect();
    if count > named.len() {
        named.push("…".to_owned());
    }
    named.join(", ")
}

/// Pictures in files, whole or set in the middle of a white square.
struct PairFiles {
    paths: Vec<PathBuf>,
    labels: Option<Vec<u32>>,
    classes: Vec<String>,
    decoding: Decoding,
    is_square: bool,
}

impl PairFiles {
    fn new(root: &Path, paths: Vec<PathBuf>, decoding: Decoding) -> Self {
        let folder = |path: &PathBuf| -> Option<OsString> {
            let mut parts = path.strip_prefix(root).ok()?.components();
            let first = parts.next()?;
            parts.next().map(|_| first.as_os_str().to_owned())
        };
        let folders: Option<Vec<OsString>> = paths.iter().map(folder).collect();
        let classes: BTreeSet<OsString> = folders.iter().flatten().cloned().collect();
        let classes: Vec<OsString> = classes.into_iter().collect();
        let labels = folders.filter(|_| classes.len() >= 2).map(|folders| {
            let place = |folder| classes.binary_search(folder).expect("it is among them") as u32;
            folders.iter().map(place).collect::<Vec<u32>>()
        });
        let names = classes.iter().map(|name| shown(name)).collect();
        let classes = if labels.is_some() { names } else { Vec::new() };
        Self { paths, labels, classes, decoding, is_square: false }
    }
}

impl Source for PairFiles {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn channels(&self) -> usize {
        self.decoding.channels.count()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let file = regular::read(&self.paths[index])?;
        let image = Image::decode_with(&file, self.decoding)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })?;
        Ok(if self.is_square { squared(image) } else { image })
    }

    fn describe(&self, index: usize) -> String {
        shown(self.paths[index].as_os_str())
    }

    fn statistics(&self) -> Statistics {
        Statistics::of_photos(self.decoding.channels)
    }
}

/// Sets an image in the middle of a white square of its longer side.
pub(super) fn squared(image: Image<'static>) -> Image<'static> {
    let (height, width, channels) = (image.height(), image.width(), image.channels());
    let side = height.max(width);
    if height == width {
        return image;
    }
    let mut pixels = vec![255; side * side * channels];
    let (top, left) = ((side - height) / 2, (side - width) / 2);
    for (row, line) in image.pixels().chunks_exact(width * channels).enumerate() {
        let start = ((top + row) * side + left) * channels;
        pixels[start..start + line.len()].copy_from_slice(line);
    }
    Image::new(side, side, channels, pixels)
}
