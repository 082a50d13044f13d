//! Positions of the frames of a shard's videos, from its headers and `video.json` files alone.

use std::fs::File;
use std::io::{BufReader, Read};

use super::About;

/// The file that ends a video.
pub(super) const ABOUT: &str = "video.json";
/// Maximum length of such a file in bytes.
const LONGEST: u64 = 1 << 16;

/// A video in a shard.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) about: About,
    /// Offset and length of each frame's JPEG, in bytes.
    pub(super) frames: Vec<(u64, u64)>,
}

/// Reads a shard's headers.
///
/// # Errors
/// A description of what is wrong with it.
pub(super) fn index(file: File) -> Result<Vec<Video>, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let (mut videos, mut frames, mut folder) = (Vec::new(), Vec::new(), String::new());
    let again = "; write it again with `cargo xtask prepare-video`";
    for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| format!("{error}{again}"))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((of, file)) =
            name.rsplit_once('/').filter(|_| entry.header().entry_type().is_file())
        else {
            return Err(format!("`{name}` is not a frame of a video{again}"));
        };
        if frames.is_empty() {
            folder = of.to_owned();
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.saturating_add(size) > length {
            return Err(format!("it is cut off in `{name}`{again}"));
        }
        if file == ABOUT {
            let mut text = String::new();
            entry.by_ref().take(LONGEST).read_to_string(&mut text).map_err(|e| e.to_string())?;
            let about: About =
                serde_json::from_str(&text).map_err(|error| format!("`{name}`: {error}"))?;
            let found = frames.len() as u64;
            let usable = about.rate > 0.0 && about.rate.is_finite() && found > 0;
            if of != folder || about.frames != found || !usable {
                return Err(format!(
                    "`{name}` declares {} frames at {} per second, but {found} precede it{again}",
                    about.frames, about.rate
                ));
            }
            videos.push(Video { about, frames: std::mem::take(&mut frames) });
        } else if of == folder && file == frame_name(frames.len() as u64) {
            frames.push((offset, size));
        } else {
            return Err(format!("`{name}` is out of order{again}"));
        }
    }
    if !frames.is_empty() {
        return Err(format!("it is cut off after {} frames of {folder}{again}", frames.len()));
    }
    Ok(videos)
}

/// The name of a frame's file.
pub(super) fn frame_name(frame: u64) -> String {
    format!("{frame:06}.jpg")
}
