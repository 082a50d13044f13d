//! Tar files of pictures and labels, in the WebDataset convention.
//!
//! Entries whose paths agree up to the first dot of the last part are one sample: `0017.jpg` is its
//! picture, `0017.cls` its class as decimal digits. The headers are read once; after that, any
//! picture takes a single read.

mod captions;
mod index;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_datasets::{DataError, Decoding, Split};
use rayon::prelude::*;

use self::index::{Caption, Index, Sample, index};
use super::layout::{Kind, Layout, layout, of_both_splits, several};
use super::listing::{entries, files_below, has_extension, shown};
use crate::image::Image;
use crate::image::known::Known;
use crate::image::sixteen_bits::Rounding;
use crate::regular;
use crate::source::{Source, Statistics};

/// The kind of tar files, and the layout of a folder of them.
pub(crate) const SHARDS: Kind = Kind {
    wanted: is_shard,
    called: "tar files",
    missing: "tar files with pictures",
    layout: "a data set is train/*.tar and val/*.tar, or *.tar with a part held out (holdout), \
             with KEY.jpg, KEY.png or KEY.webp and, for labels, KEY.cls (docs/your-own-data.md)",
    folders: false,
};

pub(crate) fn is_shard(path: &Path) -> bool {
    has_extension(path, &["tar"])
}

/// Whether a tar file is compressed, according to its name.
fn is_packed(path: &Path) -> bool {
    let inner = path.file_stem().map(Path::new);
    has_extension(path, &["tgz", "txz", "tzst", "tbz2"])
        || has_extension(path, &["gz", "xz", "zst", "bz2"]) && inner.is_some_and(is_shard)
}

/// Maximum number of files kept open; a process can commonly have 1024.
const OPEN: usize = 512;

/// Class numbers from here on are taken for damage, because each class gets a name.
const MAX_CLASSES: u32 = 1 << 20;

/// Accepted number of classes: this many in any case, or this many times those that occur.
const BELIEVED: (usize, usize) = (1000, 100);

/// Pictures inside tar files, in the order of the files' names and of their entries.
#[derive(Debug)]
pub struct Shards {
    root: PathBuf,
    shards: Vec<Shard>,
    /// Each with the number of its shard.
    samples: Vec<(usize, Sample)>,
    classes: Vec<String>,
    decoding: Decoding,
    rounding: Rounding,
    known: Known,
}

/// Captions without a picture: number of the shard, key and position.
type Alone = Vec<(usize, String, Caption)>;

/// A tar file, opened when it is first read.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Shards {
    /// Indexes the `*.tar` files of one split, whose pictures are decoded to RGB.
    ///
    /// Classes are named by their numbers, and are those of the training split.
    ///
    /// # Errors
    /// As [`open_splits`](crate::open_splits), and when there is no such split.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let (mut notes, stop) = (Vec::new(), AtomicBool::new(false));
        let decoding = Decoding::default();
        match split {
            Split::Train => Self::training(root, decoding, &mut notes, &stop).map(|(of, _)| of),
            Split::Test => {
                let (_, test) = Self::splits(root, decoding, &mut notes, &stop)?;
                test.ok_or_else(|| SHARDS.no_test(root))
            }
        }
    }

    /// Indexes both splits, the second if there is one.
    pub(crate) fn splits(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
        stop: &AtomicBool,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Self::training(root, decoding, notes, stop)?;
        let Some(folder) = test else { return Ok((train, None)) };
        let test = Self::read(root, &folder, decoding, notes, stop)?;
        let test = train.joined(test, &folder)?;
        Ok((train, Some(test)))
    }

    /// Indexes the training split; also returns the folder of the test split, if there is one.
    fn training(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
        stop: &AtomicBool,
    ) -> Result<(Self, Option<PathBuf>), DataError> {
        let (folder, test) = match layout(root, SHARDS, notes)? {
            Layout::Whole => {
                check_names(root)?;
                (root.to_path_buf(), None)
            }
            Layout::Splits { train: Some(train), test } => (train, test),
            Layout::Splits { train: None, test } => {
                return Err(SHARDS.no_train(root, test.as_ref()));
            }
        };
        Ok((Self::read(root, &folder, decoding, notes, stop)?, test))
    }

    fn read(
        root: &Path,
        folder: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
        stop: &AtomicBool,
    ) -> Result<Self, DataError> {
        let (shards, _) = Self::of(root, folder, (decoding, false), notes, stop)?;
        Ok(shards)
    }

    /// Like [`Self::read`]; with captions, also returns those without a picture, with their shard's
    /// number.
    fn of(
        root: &Path,
        folder: &Path,
        (decoding, captions): (Decoding, bool),
        notes: &mut Vec<String>,
        stop: &AtomicBool,
    ) -> Result<(Self, Alone), DataError> {
        let files = files_below(folder, |path| is_shard(path) || is_packed(path))?;
        if let Some(packed) = files.paths.iter().find(|path| is_packed(path)) {
            let problem = "is a compressed tar file, whose pictures cannot be read one by one; \
                           unpack it (gunzip, unxz or unzstd) to a .tar file";
            return Err(DataError::malformed(packed, problem));
        }
        if let Some(special) = files.special.first() {
            let problem = "is a pipe, socket or device, not a tar file; remove it";
            return Err(DataError::malformed(special, problem));
        }
        let mut indexed: Vec<Index> = files
            .paths
            .par_iter()
            .map(|path| {
                if stop.load(Ordering::Relaxed) {
                    return Err(DataError::Stopped);
                }
                let file = regular::open(path)?;
                index(file, captions).map_err(|problem| DataError::malformed(path, problem))
            })
            .collect::<Result<_, _>>()?;
        for (what, remedy, left_out) in [
            (
                "pictures of other formats",
                "convert them to PNG or JPEG (.jpg)",
                indexed.iter_mut().flat_map(|index| std::mem::take(&mut index.foreign)).collect(),
            ),
            (
                "samples with a KEY.cls but no picture",
                "pack the picture of each beside its label",
                indexed.iter_mut().flat_map(|index| std::mem::take(&mut index.bare)).collect(),
            ),
        ] {
            let names: Vec<String> = left_out;
            if !names.is_empty() {
                let (folder, count, shown) = (folder.display(), names.len(), several(&names));
                notes.push(format!("{folder}: {what} are left out: {count} ({shown}); {remedy}"));
            }
        }
        let alone = indexed.iter_mut().enumerate().flat_map(|(shard, index)| {
            std::mem::take(&mut index.alone).into_iter().map(move |(key, at)| (shard, key, at))
        });
        let alone: Alone = alone.collect();
        let samples: Vec<(usize, Sample)> = indexed
            .into_iter()
            .enumerate()
            .flat_map(|(shard, index)| index.samples.into_iter().map(move |of| (shard, of)))
            .collect();
        if samples.is_empty() {
            return Err(SHARDS.nothing(folder));
        }
        let classes = classes(&samples).map_err(|problem| DataError::malformed(folder, problem))?;
        let extra: usize = samples.iter().filter(|(_, sample)| sample.beside > 0).count();
        if extra > 0 {
            notes.push(format!(
                "{}: {extra} samples have further pictures (KEY.NAME.png), which are left out",
                folder.display()
            ));
        }
        let shard = |path| Shard { path, file: OnceLock::new() };
        let shards = files.paths.into_iter().map(shard).collect();
        let (rounding, root) = (Rounding::default(), root.to_path_buf());
        let known = Known::none(samples.len());
        Ok((Self { root, shards, samples, classes, decoding, rounding, known }, alone))
    }

    /// Gives the test split of this training split the classes of the latter.
    fn joined(&self, test: Self, folder: &Path) -> Result<Self, DataError> {
        let refuse = |problem: String| Err(DataError::malformed(folder, problem));
        match (self.classes.is_empty(), test.classes.is_empty()) {
            (false, true) => refuse(
                "its pictures have no KEY.cls, but the training pictures do; add them, or move the \
                 folder away"
                    .to_owned(),
            ),
            (true, false) => refuse(
                "its pictures have a KEY.cls, but the training pictures have none; label both, or \
                 neither"
                    .to_owned(),
            ),
            _ => {
                let numbers = |of: &Self| -> BTreeSet<u32> {
                    of.samples.iter().filter_map(|(_, sample)| sample.label).collect()
                };
                let (known, found) = (numbers(self), numbers(&test));
                if let Some(strange) = found.difference(&known).next() {
                    let least = known.first().copied().unwrap_or_default();
                    let most = known.last().copied().unwrap_or_default();
                    return refuse(format!(
                        "class {strange} occurs in it, but no training picture has that class \
                         (they have {} classes from {least} to {most})",
                        known.len()
                    ));
                }
                Ok(Self { classes: self.classes.clone(), ..test })
            }
        }
    }

    /// Reads `size` bytes of a shard from `offset` on.
    fn bytes(&self, shard: usize, offset: u64, size: u64) -> Result<Vec<u8>, DataError> {
        let Shard { path, file } = &self.shards[shard];
        let mut bytes = vec![0; size as usize];
        let opened;
        let file = match file.get() {
            Some(file) => file,
            None => {
                opened = regular::open(path)?;
                // Another thread may have been faster; then this one's file is closed again.
                if shard < OPEN { file.get_or_init(|| opened) } else { &opened }
            }
        };
        file.read_exact_at(&mut bytes, offset).map_err(DataError::io(path))?;
        Ok(bytes)
    }

    /// A sample's name below the root, independent of where the root is.
    pub(crate) fn relative(&self, index: usize) -> Vec<u8> {
        let (shard, sample) = &self.samples[index];
        let path = &self.shards[*shard].path;
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        [path.as_os_str().as_encoded_bytes(), b":", sample.name.as_bytes()].concat()
    }
}

/// Names the classes by their numbers, from 0 to the greatest.
fn classes(samples: &[(usize, Sample)]) -> Result<Vec<String>, String> {
    let numbers: BTreeSet<u32> = samples.iter().filter_map(|(_, sample)| sample.label).collect();
    let labelled = samples.iter().filter(|(_, sample)| sample.label.is_some()).count();
    if labelled != 0 && labelled != samples.len() {
        return Err(format!("only {labelled} of {} pictures have a KEY.cls", samples.len()));
    }
    let Some(&most) = numbers.last() else { return Ok(Vec::new()) };
    let (any, times) = BELIEVED;
    if most >= MAX_CLASSES || most as usize >= any.max(times * numbers.len()) {
        return Err(format!(
            "a KEY.cls holds class {most}, but only {} classes occur; number the classes from 0",
            numbers.len()
        ));
    }
    Ok((0..=most).map(|class| class.to_string()).collect())
}

/// Refuses a folder whose tar files belong to both splits by name, such as `train-000.tar` and
/// `val-000.tar`, which would become one set.
fn check_names(root: &Path) -> Result<(), DataError> {
    let tars = entries(root)?.into_iter().filter(|path| is_shard(path));
    let names: Vec<String> = tars.map(|path| shown(path.file_name().unwrap_or_default())).collect();
    match of_both_splits(&names) {
        Some((train, test)) => {
            let problem = format!(
                "{train} and {test} lie in one folder and would become one set; put the tar files \
                 of each split into their own folder, train/ and val/"
            );
            Err(DataError::malformed(root, problem))
        }
        None => Ok(()),
    }
}

impl Source for Shards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn channels(&self) -> usize {
        self.decoding.channels.count()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.samples[index].1.label
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let &(shard, Sample { offset, size, .. }) = &self.samples[index];
        let bytes = self.bytes(shard, offset, size)?;
        self.rounding.tell(&bytes, || self.describe(index));
        self.known
            .decode(index, &bytes, self.decoding)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
    }

    fn describe(&self, index: usize) -> String {
        let (shard, sample) = &self.samples[index];
        format!("{}:{}", shown(self.shards[*shard].path.as_os_str()), sample.name)
    }

    fn statistics(&self) -> Statistics {
        Statistics::of_photos(self.decoding.channels)
    }
}

#[cfg(test)]
mod tests;
