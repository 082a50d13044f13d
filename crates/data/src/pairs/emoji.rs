//! Twemoji with their names: `emoji.json` next to the pictures of 64 × 64 pixels.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bauta_datasets::{DataError, Decoding};
use serde::Deserialize;

use super::files::PairFiles;
use super::listing::{Listing, plain};
use crate::regular;

/// An entry of `emoji.json`, with the fields that are used here.
#[derive(Deserialize)]
struct Entry {
    name: String,
    image: String,
    category: String,
    has_img_twitter: bool,
}

/// Every emoji once, in its default skin tone, with its name in lower case; classes are the
/// categories. The five patches of skin tones (category Component) are left out.
pub(super) fn open(root: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let path = root.join("emoji.json");
    let malformed = |problem: String| DataError::malformed(&path, problem);
    let entries: Vec<Entry> = serde_json::from_slice(&regular::read(&path)?)
        .map_err(|error| malformed(format!("is not a list of emoji: {error}")))?;
    let kept: Vec<Entry> = entries
        .into_iter()
        .filter(|entry| entry.has_img_twitter && entry.category != "Component")
        .collect();
    if let Some(entry) = kept.iter().find(|entry| entry.image.contains(['/', '\\'])) {
        return Err(malformed(format!("{:?} is not a plain image name", entry.image)));
    }
    let names: BTreeSet<&str> = kept.iter().map(|entry| &*entry.category).collect();
    let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let label = |entry: &Entry| classes.partition_point(|class| *class < entry.category) as u32;
    let folder = root.join("img/twitter/64");
    let files = PairFiles {
        paths: kept.iter().map(|entry| folder.join(&entry.image)).collect(),
        labels: Some(kept.iter().map(label).collect()),
        classes,
        decoding,
        is_square: true,
    };
    let captions: Vec<String> =
        kept.iter().map(|entry| plain(&entry.name.to_lowercase())).collect();
    let mute = kept.iter().zip(&captions).filter(|(_, caption)| caption.is_empty());
    let mute = mute.map(|(entry, _)| entry.image.clone()).collect();
    let images = Arc::new(files);
    Ok(Listing { images, captions, mute, blind: Vec::new(), notes: Vec::new() })
}

#[cfg(test)]
mod tests;
