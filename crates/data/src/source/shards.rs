//! Tar files of pictures and labels, in the WebDataset convention.
//!
//! Entries whose paths agree up to the first dot of the last part are one
//! sample: `0017.jpg` is its picture, `0017.cls` its class as decimal digits.
//! The headers are read once; after that any picture is one seek away.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::listing::{entries, is_picture, split_folder};
use crate::dataset::Split;
use crate::error::DataError;
use crate::image::Image;
use crate::source::{Source, Statistics};

/// Pictures inside tar files, in the order of the files' names and of their entries.
#[derive(Debug)]
pub struct Shards {
    paths: Vec<PathBuf>,
    samples: Vec<Sample>,
    classes: Vec<String>,
}

/// Where a picture lies.
#[derive(Debug)]
struct Sample {
    shard: usize,
    name: String,
    offset: u64,
    size: u64,
    label: Option<u32>,
}

impl Shards {
    /// Indexes the `*.tar` files of `root/train`, or of `root/val` or `root/test`;
    /// where there are no such subfolders, all of `root` is the training split.
    ///
    /// Classes are named by their numbers.
    ///
    /// # Errors
    /// When there are no pictures, when a tar file is truncated or malformed,
    /// when a sample has two pictures, or when only some samples have labels.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let folder = split_folder(split, root)?;
        let is_shard = |path: &PathBuf| path.extension().is_some_and(|e| e == "tar");
        let paths: Vec<PathBuf> = entries(&folder)?.into_iter().filter(is_shard).collect();
        let mut samples = Vec::new();
        for (shard, path) in paths.iter().enumerate() {
            let file = File::open(path).map_err(DataError::io(path))?;
            let indexed = index(shard, file);
            samples.extend(indexed.map_err(|problem| DataError::malformed(path, problem))?);
        }
        if samples.is_empty() {
            return Err(DataError::Absent {
                path: folder,
                wanted: "tar files with pictures".to_owned(),
                remedy: "name a folder of *.tar with KEY.jpg, KEY.png or KEY.webp".to_owned(),
            });
        }
        let labelled = samples.iter().filter(|sample| sample.label.is_some()).count();
        if labelled != 0 && labelled != samples.len() {
            let problem = format!("only {labelled} of {} pictures have a KEY.cls", samples.len());
            return Err(DataError::malformed(&folder, problem));
        }
        let count = samples.iter().filter_map(|sample| sample.label).max().map_or(0, |max| max + 1);
        let classes = (0..count).map(|class| class.to_string()).collect();
        Ok(Self { paths, samples, classes })
    }
}

impl Source for Shards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.samples[index].label
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let Sample { shard, offset, size, .. } = self.samples[index];
        let path = &self.paths[shard];
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(offset))?;
                file.take(size).read_to_end(&mut bytes)
            })
            .map_err(DataError::io(path))?;
        Image::decode(&bytes)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
    }

    fn describe(&self, index: usize) -> String {
        let sample = &self.samples[index];
        format!("{}:{}", self.paths[sample.shard].display(), sample.name)
    }

    fn statistics(&self) -> Statistics {
        Statistics::IMAGENET
    }
}

/// Labels beyond this are taken for damage: class names are made for each.
const MAX_LABEL: u32 = 1 << 20;

/// Reads a tar file's headers and labels.
fn index(shard: usize, file: File) -> Result<Vec<Sample>, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut archive = tar::Archive::new(file);
    let (mut samples, mut labels) = (BTreeMap::new(), BTreeMap::new());
    for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(format!("is truncated within {name}"));
        }
        let key = key_of(&name).to_owned();
        if is_picture(Path::new(&name)) {
            let sample = Sample { shard, name, offset, size, label: None };
            if let Some(other) = samples.insert(key, sample) {
                return Err(format!("the sample of {} has two pictures", other.name));
            }
        } else if name[key.len()..] == *".cls" {
            let mut text = String::new();
            let read = entry.by_ref().take(16).read_to_string(&mut text);
            let label = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
            let label = label.filter(|&label| label < MAX_LABEL);
            labels.insert(key, label.ok_or_else(|| format!("{name} holds no class number"))?);
        }
    }
    let mut samples: Vec<Sample> = samples
        .into_iter()
        .map(|(key, sample)| Sample { label: labels.get(&key).copied(), ..sample })
        .collect();
    samples.sort_by_key(|sample| sample.offset);
    Ok(samples)
}

/// The part of a path before the first dot of its last component.
fn key_of(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[base..].find('.').map_or(name.len(), |dot| base + dot);
    &name[..dot]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::ImageFormat;

    use super::*;
    use crate::image::tests::{encode, gradient};

    fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn picture(seed: u8, format: ImageFormat) -> Vec<u8> {
        encode(&gradient(5, 4, seed), format)
    }

    fn open(files: &[(&str, Vec<u8>)]) -> Result<(tempfile::TempDir, Shards), DataError> {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(root.path().join(name), bytes).unwrap();
        }
        Shards::open(Split::Train, root.path()).map(|shards| (root, shards))
    }

    #[test]
    fn samples_come_in_order_with_their_labels() {
        let first = tar(&[
            ("b/1.cls", b"2\n".to_vec()),
            ("b/1.png", picture(1, ImageFormat::Png)),
            ("a/0.seg.json", b"{}".to_vec()),
            ("a/0.jpg", picture(2, ImageFormat::Jpeg)),
            ("a/0.cls", b"0".to_vec()),
        ]);
        let second =
            tar(&[("a/0.webp", picture(3, ImageFormat::WebP)), ("a/0.cls", b"1".to_vec())]);
        let files = [("s-1.tar", second), ("s-0.tar", first), ("notes.txt", vec![])];
        let (_root, shards) = open(&files).unwrap();
        let labels: Vec<_> = (0..shards.len()).map(|index| shards.label(index)).collect();
        assert_eq!(labels, [Some(2), Some(0), Some(1)]);
        assert_eq!(shards.classes(), ["0", "1", "2"]);
        assert!(shards.describe(0).ends_with("s-0.tar:b/1.png"), "{}", shards.describe(0));
        let expected = Image::decode(&picture(1, ImageFormat::Png)).unwrap();
        assert_eq!(shards.image(0).unwrap(), expected);
        assert_eq!(shards.image(2).unwrap().width(), 4);
    }

    #[test]
    fn hostile_shards_are_errors() {
        let one = || ("1.png", picture(1, ImageFormat::Png));
        let whole = tar(&[one()]);
        let table: [(&str, Vec<u8>); 6] = [
            ("cut within a picture", whole[..600].to_vec()),
            ("not a tar file", vec![b'x'; 2048]),
            ("no pictures", tar(&[("1.cls", b"1".to_vec())])),
            ("two pictures", tar(&[one(), ("1.jpg", vec![])])),
            ("a label of letters", tar(&[one(), ("1.cls", b"cat".to_vec())])),
            ("only some labels", tar(&[one(), ("1.cls", b"1".to_vec()), ("2.png", vec![])])),
        ];
        for (what, bytes) in table {
            assert!(open(&[("s.tar", bytes)]).is_err(), "{what}");
        }
        // A corrupt picture is found when it is read, and named.
        let (_root, shards) = open(&[("s.tar", tar(&[("1.png", b"no".to_vec())]))]).unwrap();
        let error = shards.image(0).unwrap_err().to_string();
        assert!(error.contains("s.tar:1.png"), "{error}");
    }
}
