//! JPEG files, decoded by the decoder of the `image` crate in strict mode.
//!
//! `image` itself lets it continue after damage, and fills the missing part with grey.

mod bits;
mod coded;

use std::io::{BufRead, Seek};

use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Decoding;

/// Options of the decoder.
fn strict() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
}

/// Width and height according to the header, or the decoder's message if that is damaged.
pub(super) fn claimed_size(file: impl BufRead + Seek) -> Result<(usize, usize), String> {
    let mut decoder = JpegDecoder::new_with_options(file, strict());
    decoder.decode_headers().map_err(|error| error.to_string())?;
    decoder.dimensions().ok_or_else(|| "it has no size".to_owned())
}

/// Decodes a JPEG to grey if it is grey, and to RGB otherwise.
///
/// The coded data are checked first, unless the file is `known` to be intact.
pub(super) fn decode(file: &[u8], decoding: Decoding, known: bool) -> Result<DynamicImage, String> {
    let options = strict();
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    decoding.check_size(width as u64, height as u64)?;
    if !known {
        coded::check(file)?;
    }
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let samples = decoder.decode().map_err(|error| error.to_string())?;
    let (width, height) = (width as u32, height as u32);
    let image = if grey {
        GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
    };
    image.ok_or_else(|| "the decoder's size differs from the header's".to_owned())
}
