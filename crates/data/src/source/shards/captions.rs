//! Captions of the pictures in tar files.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use bauta_datasets::{DataError, Decoding};

use super::index::Caption;
use super::{Shards, shown};

/// Maximum length of a caption's file in bytes.
const LONGEST: u64 = 1 << 20;

/// A caption's file: its name, for display, and its contents.
type Text = (String, Vec<u8>);

impl Shards {
    /// Indexes all tar files below a folder with their captions; also returns the captions without
    /// a picture.
    ///
    /// # Errors
    /// As [`open_splits`](crate::open_splits).
    pub(crate) fn with_captions(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Vec<Text>), DataError> {
        let stop = AtomicBool::new(false);
        let (shards, alone) = Self::of(root, root, (decoding, true), notes, &stop)?;
        let texts = alone.into_iter().map(|(shard, key, caption)| {
            let text = shards.text(shard, &key, caption)?;
            Ok(text)
        });
        let texts = texts.collect::<Result<_, DataError>>()?;
        Ok((shards, texts))
    }

    /// The file of a picture's caption, if it has one.
    ///
    /// # Errors
    /// When it cannot be read, or is too long for a caption.
    pub(crate) fn caption(&self, index: usize) -> Result<Option<Text>, DataError> {
        let (shard, sample) = &self.samples[index];
        let base = sample.name.rfind('/').map_or(0, |slash| slash + 1);
        let end = sample.name[base..].find('.').map_or(sample.name.len(), |dot| base + dot);
        let key = &sample.name[..end];
        sample.caption.map(|caption| self.text(*shard, key, caption)).transpose()
    }

    fn text(&self, shard: usize, key: &str, caption: Caption) -> Result<Text, DataError> {
        let Caption { offset, size, json } = caption;
        let path = shown(self.shards[shard].path.as_os_str());
        let name = format!("{path}:{key}.{}", if json { "json" } else { "txt" });
        if size > LONGEST {
            let problem = format!("has {size} bytes; a caption has at most {LONGEST}");
            return Err(DataError::malformed(Path::new(&name), problem));
        }
        Ok((name, self.bytes(shard, offset, size)?))
    }
}
