//! Pictures next to `.txt` files, in a user's folder or in Tux Paint's.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_datasets::{DataError, Decoding};

use super::listing::{Listing, caption_in, first_of};
use crate::image::Image;
use crate::regular;
use crate::source::listing::{files_below, has_extension, is_picture, shown};
use crate::source::{Source, Statistics};

/// Tux Paint's stamps that are PNG files with a caption, without mirror images; categories are the
/// folders. Captions of stamps that exist only as SVG drawings are left out.
pub(super) fn stamps(root: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let is_stamp = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        has_extension(path, &["png"]) && !stem.ends_with("_mirror")
    };
    let listing = read(root, is_stamp, first_line, |paths| PairFiles {
        is_square: true,
        ..PairFiles::by_folder(root, paths, decoding)
    })?;
    Ok(Listing { blind: Vec::new(), ..listing })
}

/// Every picture below a folder; its subfolders are classes if they hold all pictures and there are
/// two of them or more.
pub(super) fn folder(root: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let files = |paths| PairFiles::by_folder(root, paths, decoding);
    read(root, is_picture, str::to_owned, files)
}

fn read(
    root: &Path,
    wanted: impl Fn(&Path) -> bool,
    caption: impl Fn(&str) -> String,
    files: impl FnOnce(Vec<PathBuf>) -> PairFiles,
) -> Result<Listing, DataError> {
    let listed = files_below(root, wanted)?;
    let texts = files_below(root, |path| has_extension(path, &["txt"]))?;
    if let Some(special) = listed.special.iter().chain(&texts.special).next() {
        let problem = "is a pipe, socket or device, not a file; remove it";
        return Err(DataError::malformed(special, problem));
    }
    if listed.paths.is_empty() {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "pictures".to_owned(),
            remedy: "a data set of pairs is NAME.jpg (.png, .webp) beside NAME.txt".to_owned(),
        });
    }
    let below = |path: &Path| shown(path.strip_prefix(root).unwrap_or(path).as_os_str());
    let mut notes = Vec::new();
    if !listed.foreign.is_empty() {
        let foreign: Vec<String> = listed.foreign.iter().map(|path| below(path)).collect();
        notes.push(format!(
            "pictures of unsupported formats: {} ({})",
            foreign.len(),
            first_of(&foreign)
        ));
    }
    let mut words: HashMap<PathBuf, (PathBuf, String)> = HashMap::new();
    for path in texts.paths {
        let text = caption_in(regular::read(&path)?, &caption)
            .map_err(|problem| DataError::malformed(&path, problem))?;
        words.insert(path.with_extension(""), (path, text));
    }
    let (mut mute, mut captions, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for path in &listed.paths {
        let stem = path.with_extension("");
        let text = words.get(&stem).map(|(_, text)| text.clone()).unwrap_or_default();
        taken.insert(stem);
        if text.is_empty() {
            mute.push(below(path));
        }
        captions.push(text);
    }
    let mut blind: Vec<(String, String)> = words
        .into_iter()
        .filter(|(stem, (_, text))| !taken.contains(stem) && !text.is_empty())
        .map(|(_, (path, text))| (below(&path), text))
        .collect();
    blind.sort();
    let images = Arc::new(files(listed.paths));
    Ok(Listing { images, captions, mute, blind, notes })
}

/// Pictures in files, as they are or centred on a white square.
pub(super) struct PairFiles {
    pub paths: Vec<PathBuf>,
    pub labels: Option<Vec<u32>>,
    pub classes: Vec<String>,
    pub decoding: Decoding,
    pub is_square: bool,
}

impl PairFiles {
    fn by_folder(root: &Path, paths: Vec<PathBuf>, decoding: Decoding) -> Self {
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

/// Centres an image on a white square of its longer side.
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
