//! Tar files of pictures and captions, in the WebDataset convention: `KEY.jpg` next to `KEY.txt` or
//! `KEY.json`.

use std::path::Path;
use std::sync::Arc;

use bauta_datasets::{DataError, Decoding};
use serde_json::Value;

use super::listing::{Listing, caption_in, plain};
use crate::source::Shards;

/// Keys of a `KEY.json` that hold a caption; the first one present is used.
const KEYS: [&str; 2] = ["caption", "text"];

/// Every sample of the tar files below a folder, with the classes of `KEY.cls`.
///
/// A caption is its `KEY.txt` or, without that, the value of `caption` or `text` in its `KEY.json`.
pub(super) fn open(root: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let mut notes = Vec::new();
    let (shards, alone) = Shards::with_captions(root, decoding, &mut notes)?;
    let text = |name: &str, bytes: Vec<u8>| -> Result<String, DataError> {
        let read = if name.ends_with(".json") { caption_of_json } else { caption_of_text };
        read(bytes).map_err(|problem| DataError::malformed(Path::new(name), problem))
    };
    let (mut captions, mut mute) = (Vec::new(), Vec::new());
    for index in 0..crate::source::Source::len(&shards) {
        let caption = match shards.caption(index)? {
            Some((name, bytes)) => text(&name, bytes)?,
            None => String::new(),
        };
        if caption.is_empty() {
            mute.push(String::from_utf8_lossy(&shards.relative(index)).into_owned());
        }
        captions.push(caption);
    }
    let mut blind = Vec::new();
    for (name, bytes) in alone {
        let caption = text(&name, bytes)?;
        if !caption.is_empty() {
            blind.push((name, caption));
        }
    }
    Ok(Listing { images: Arc::new(shards), captions, mute, blind, notes })
}

fn caption_of_text(bytes: Vec<u8>) -> Result<String, String> {
    caption_in(bytes, str::to_owned)
}

fn caption_of_json(bytes: Vec<u8>) -> Result<String, String> {
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))?;
    let object = value.as_object().ok_or("is not a JSON object; it must have the key caption")?;
    match KEYS.into_iter().find_map(|key| object.get(key).map(|value| (key, value))) {
        Some((_, Value::String(caption))) => Ok(plain(caption)),
        Some((_, Value::Null)) => Ok(String::new()),
        Some((key, _)) => Err(format!("{key} is not text")),
        None => {
            let keys: Vec<&str> = object.keys().map(String::as_str).collect();
            Err(format!("has no key caption or text; it has {}", keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;
