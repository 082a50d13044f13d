//! Pictures and captions as they were found: those that belong together, and the others.

use std::sync::Arc;

use super::{Captioned, Unpaired};
use crate::source::Source;

/// Pictures and captions that belong together, and those that do not.
pub(super) struct Listing {
    /// The pictures.
    pub images: Arc<dyn Source>,
    /// The caption of each picture; empty if it has none.
    pub captions: Vec<String>,
    /// Names of the pictures without a caption, or with an empty one.
    pub mute: Vec<String>,
    /// Captions without a picture, each after its name.
    pub blind: Vec<(String, String)>,
    /// Further notes, one sentence each.
    pub notes: Vec<String>,
}

impl Listing {
    /// Notes on everything but the pairs, one sentence each; `root` is the folder that was read.
    pub(super) fn notes(&self, root: &str, unpaired: Unpaired) -> Vec<String> {
        let fate = |alone: &str| match unpaired {
            Unpaired::Train => format!("trained on as {alone} only"),
            Unpaired::Skip => "left out".to_owned(),
        };
        let mut notes: Vec<String> =
            self.notes.iter().map(|note| format!("{root}: {note}")).collect();
        if !self.mute.is_empty() {
            notes.push(format!(
                "{root}: pictures without a caption: {} ({}), {}",
                self.mute.len(),
                first_of(&self.mute),
                fate("images")
            ));
        }
        if !self.blind.is_empty() {
            let blind: Vec<String> = self.blind.iter().map(|(name, _)| name.clone()).collect();
            notes.push(format!(
                "{root}: captions without a picture: {} ({}), {}",
                blind.len(),
                first_of(&blind),
                fate("texts")
            ));
        }
        notes
    }

    pub(super) fn captioned(self, unpaired: Unpaired) -> Captioned {
        let all = Captioned {
            images: self.images,
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

/// The first few of many names.
pub(super) fn first_of(names: &[String]) -> String {
    let mut named: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    if names.len() > named.len() {
        named.push("…");
    }
    named.join(", ")
}

/// The caption in the bytes of a text, without a byte order mark and with single spaces; `part`
/// extracts it from the text.
///
/// # Errors
/// A description of what is wrong with it: where it stops being UTF-8.
pub(super) fn caption_in(bytes: Vec<u8>, part: impl Fn(&str) -> String) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8 from byte {at} on; save it as UTF-8")
    })?;
    Ok(plain(&part(text.trim_start_matches('\u{feff}'))))
}

/// A text with single spaces, and none around it.
pub(super) fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
