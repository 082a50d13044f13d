//! Records which pictures of a source have been decoded before.
//!
//! Checking a JPEG's coded data takes as long as decoding it. It is done when a picture is first
//! read; if the picture was intact then, it is only decoded from then on. A damaged picture is
//! checked whenever it is read.

use std::sync::atomic::{AtomicBool, Ordering};

use bauta_datasets::Decoding;

use super::Image;

/// A mark for each picture that was decoded and found intact.
#[derive(Debug)]
pub(crate) struct Known(Box<[AtomicBool]>);

impl Known {
    /// No marks yet, for the given number of pictures.
    pub(crate) fn none(pictures: usize) -> Self {
        Self((0..pictures).map(|_| AtomicBool::new(false)).collect())
    }

    /// Decodes the file of picture `index`.
    ///
    /// # Errors
    /// As [`Image::decode_with`]; for a file that was intact before, only what its decoder notices.
    pub(crate) fn decode(
        &self,
        index: usize,
        file: &[u8],
        decoding: Decoding,
    ) -> Result<Image<'static>, String> {
        // Threads need not agree: at worst a picture is checked twice.
        let known = &self.0[index];
        let image = Image::decode_known(file, decoding, known.load(Ordering::Relaxed))?;
        known.store(true, Ordering::Relaxed);
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::formats;
    use super::*;

    #[test]
    fn a_picture_that_was_whole_decodes_to_the_same_again() {
        for (name, file) in formats() {
            let known = Known::none(2);
            for index in [0, 1, 0, 1] {
                let image = known.decode(index, &file, Decoding::default());
                assert_eq!(image, Image::decode(&file), "{name}");
            }
        }
    }

    #[test]
    fn a_damaged_picture_stays_one_however_often_it_is_read() {
        for (name, file) in formats().into_iter().filter(|(name, _)| name.contains("jpeg")) {
            // Decoders ignore it; only the check of the coded data notices it.
            let more =
                [&file[..file.len() - 2], &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xff, 0xd9]].concat();
            assert!(Image::decode_known(&more, Decoding::default(), true).is_ok(), "{name}");
            let known = Known::none(1);
            for _ in 0..2 {
                assert!(known.decode(0, &more, Decoding::default()).is_err(), "{name}");
            }
            // A truncated file is noticed even if it was intact before.
            assert!(known.decode(0, &file, Decoding::default()).is_ok(), "{name}");
            let cut = &file[..file.len() / 2];
            assert!(known.decode(0, cut, Decoding::default()).is_err(), "{name}");
        }
    }
}
