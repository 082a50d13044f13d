//! The zip archive that `torch.save` writes since PyTorch 1.6.
//!
//! Its entries are stored without compression: the object's pickle, and one file of raw numbers for
//! each storage, named by its key.

use std::io::{Read, Seek};
use std::ops::RangeInclusive;

use zip::{CompressionMethod, ZipArchive};

use super::Storages;

/// The zip archive of a checkpoint.
pub(super) struct Archive<F> {
    zip: ZipArchive<F>,
    /// The folder that everything is in.
    folder: String,
}

impl<F: Read + Seek> Archive<F> {
    /// Finds the checkpoint's folder in the archive.
    pub fn open(mut file: F) -> Result<Self, String> {
        let mut magic = Vec::new();
        file.rewind()
            .and_then(|()| file.by_ref().take(4).read_to_end(&mut magic))
            .map_err(|error| error.to_string())?;
        let zip = ZipArchive::new(file).map_err(|error| match magic.as_slice() {
            b"PK\x03\x04" => format!("truncated or damaged ({error}); fetch or write it again"),
            [0x80, ..] => "a pickle, but not one that torch.save wrote; torch.save a model's \
                           state_dict()"
                .to_owned(),
            _ => "not a PyTorch checkpoint: it does not begin like a zip archive".to_owned(),
        })?;
        let mut roots: Vec<String> = zip
            .file_names()
            .filter_map(Result::ok)
            .filter_map(|name| name.strip_suffix("/data.pkl").map(str::to_owned))
            .collect();
        let folder = match (roots.pop(), roots.pop()) {
            (Some(root), None) => root,
            (None, _) => {
                return Err(
                    "a zip archive without data.pkl, so not a checkpoint that torch.save wrote"
                        .into(),
                );
            }
            (Some(one), Some(other)) => {
                let (one, other) = (one.escape_debug(), other.escape_debug());
                return Err(format!(
                    "it holds two checkpoints, in `{other}` and `{one}`, but torch.save writes \
                     one; save the one you want again"
                ));
            }
        };
        let mut archive = Self { zip, folder };
        // Absent before PyTorch 2.1, which wrote the machine's own order: little in practice.
        if archive.zip.index_for_name(&format!("{}/byteorder", archive.folder)).is_some()
            && archive.entry("byteorder", 0..=16)? != b"little"
        {
            return Err(
                "its numbers are big-endian; save it again on a little-endian machine".into()
            );
        }
        Ok(archive)
    }

    /// An entry's bytes, read only when as many as are allowed.
    pub fn entry(&mut self, name: &str, sizes: RangeInclusive<u64>) -> Result<Vec<u8>, String> {
        let name = format!("{}/{name}", self.folder);
        let fail = |what: String| format!("{name} {what}; the file is damaged, fetch it again");
        let entry =
            self.zip.by_name(&name).map_err(|error| fail(format!("cannot be read ({error})")))?;
        // A stored entry is no longer than the file, but a compressed one can be a zip bomb.
        let (size, stored) = (entry.size(), entry.compressed_size());
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("{name} is compressed; torch.save the checkpoint again"));
        }
        if !sizes.contains(&size) || size != stored {
            return Err(fail(format!("has {size} bytes; {sizes:?} are allowed")));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        entry
            .take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(format!("cannot be read ({error})")))?;
        if bytes.len() as u64 != size {
            return Err(fail(format!("ends after {} of {size} bytes", bytes.len())));
        }
        Ok(bytes)
    }
}

impl<F: Read + Seek> Storages for Archive<F> {
    fn bytes(&mut self, key: &str, count: u64) -> Result<Vec<u8>, String> {
        self.entry(&format!("data/{key}"), count..=count)
    }
}
