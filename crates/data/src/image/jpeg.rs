//! JPEG files, decoded by the decoder of the `image` crate with its strictness turned on.
//!
//! `image` has it go on after damage, and fills what is missing with grey.

mod bits;
mod coded;

use std::io::{BufRead, Seek};

use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Decoding;

/// How files are decoded.
fn strict() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
}

/// Width and height by the header, with the decoder's words where that is damaged.
pub(super) fn claimed_size(file: impl BufRead + Seek) -> Result<(usize, usize), String> {
    let mut decoder = JpegDecoder::new_with_options(file, strict());
    decoder.decode_headers().map_err(|error| error.to_string())?;
    decoder.dimensions().ok_or_else(|| "it has no size".to_owned())
}

/// Decodes a JPEG to grey where it is grey, and to RGB otherwise; one that is `known` to be whole
/// without going through its coded data first.
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
