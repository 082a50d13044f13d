//! Images in memory, and decoding into them.
//!
//! Every file becomes eight-bit RGB, or grey on request: grey is repeated, colours are weighted as
//! by Pillow's `L`, sixteen bits are rounded to eight, and transparency is composited on white.
//! EXIF orientation is not applied, as in the loaders behind published results. A damaged file is
//! an error in every format.

mod damage;
mod header;
mod jpeg;
pub(crate) mod known;
pub(crate) mod sixteen_bits;

use std::io::Cursor;

use std::borrow::Cow;

use ::image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use bauta_datasets::{Channels, Decoding};

pub(crate) use self::header::claimed_size;
use crate::sample::Sample;

/// An image of samples, bytes by default, in the order row, column, channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a, S: Sample = u8> {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Cow<'a, [S]>,
}

impl<'a, S: Sample> Image<'a, S> {
    /// Wraps `height · width · channels` samples, owned or borrowed.
    ///
    /// # Panics
    /// When a side is 0 or `pixels` has another length.
    pub fn new(
        height: usize,
        width: usize,
        channels: usize,
        pixels: impl Into<Cow<'a, [S]>>,
    ) -> Self {
        let pixels = pixels.into();
        assert!(height > 0 && width > 0, "an image of {height} × {width} pixels");
        assert_eq!(pixels.len(), height * width * channels, "{height} × {width} × {channels}");
        Self { height, width, channels, pixels }
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Samples per pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples, \[height, width, channels\].
    pub fn pixels(&self) -> &[S] {
        &self.pixels
    }
}

impl Image<'static> {
    /// Decodes a JPEG, PNG or WebP file to RGB; the format is detected from the contents.
    ///
    /// # Errors
    /// The decoder's message, when the file is truncated, corrupt as far as its format lets one
    /// notice (a PNG has checksums, a JPEG's codes must come out even, a lossy WebP can hold
    /// anything), of another format, or claims more than [`Decoding::MAX_PIXELS`] pixels.
    pub fn decode(file: &[u8]) -> Result<Self, String> {
        Self::decode_with(file, Decoding::default())
    }

    /// Decodes a JPEG, PNG or WebP file as `decoding` says; the format is detected from the
    /// contents.
    ///
    /// # Errors
    /// As [`Self::decode`], with the limit of `decoding`.
    pub fn decode_with(file: &[u8], decoding: Decoding) -> Result<Self, String> {
        Self::decode_known(file, decoding, false)
    }

    /// The same; the coded data of a JPEG that is `known` to be intact are decoded without being
    /// checked first.
    fn decode_known(file: &[u8], decoding: Decoding, known: bool) -> Result<Self, String> {
        let decoded = dynamic(file, decoding, known)?;
        let (height, width) = (decoded.height() as usize, decoded.width() as usize);
        let colour = decoded.color();
        if decoding.channels == Channels::Grey && !colour.has_color() && !colour.has_alpha() {
            return Ok(Image::new(height, width, 1, decoded.into_luma8().into_raw()));
        }
        let rgb = if colour.has_alpha() {
            composite_on_white(decoded.into_rgba8().as_raw())
        } else {
            decoded.into_rgb8().into_raw()
        };
        Ok(match decoding.channels {
            Channels::Rgb => Image::new(height, width, 3, rgb),
            Channels::Grey => Image::new(height, width, 1, luma(&rgb)),
        })
    }
}

/// Decodes a file with its own kind of samples.
fn dynamic(file: &[u8], decoding: Decoding, known: bool) -> Result<DynamicImage, String> {
    let format = ::image::guess_format(file);
    let format = format.map_err(|_| "it is not a JPEG, PNG or WebP file".to_owned())?;
    let decoded = match format {
        ImageFormat::Jpeg => {
            // The end can be checked before the size, so that a truncated file is not decoded.
            damage::check_end(file, format)?;
            jpeg::decode(file, decoding, known)?
        }
        _ => {
            let mut reader = ImageReader::with_format(Cursor::new(file), format);
            let mut limits = Limits::no_limits();
            // Eight bytes per pixel: four channels of sixteen bits.
            limits.max_alloc = Some(decoding.max_pixels.saturating_mul(8).max(1 << 26));
            reader.limits(limits);
            let decoder = reader.into_decoder().map_err(|error| refused(&error, decoding))?;
            let (width, height) = decoder.dimensions();
            decoding.check_size(width.into(), height.into())?;
            damage::check_end(file, format)?;
            DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?
        }
    };
    if decoded.height() == 0 || decoded.width() == 0 {
        return Err("it has no pixels".to_owned());
    }
    Ok(decoded)
}

/// The message for a header that the decoder of PNG or WebP refuses.
fn refused(error: &ImageError, decoding: Decoding) -> String {
    match error {
        ImageError::Limits(_) => {
            format!("it claims more pixels than max_pixels = {} allows", decoding.max_pixels)
        }
        _ => error.to_string(),
    }
}

/// Blends RGBA over white, rounding to the nearest integer.
fn composite_on_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        let white = 255 * (255 - alpha);
        rgb.extend(pixel[..3].iter().map(|&c| ((u32::from(c) * alpha + white + 127) / 255) as u8));
    }
    rgb
}

/// Converts RGB to grey with Pillow's sixteen-bit weights.
fn luma(rgb: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgb.as_chunks::<3>();
    let weigh = |&[red, green, blue]: &[u8; 3]| {
        let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471;
        ((sum + (1 << 15)) >> 16) as u8
    };
    pixels.iter().map(weigh).collect()
}

#[cfg(test)]
pub(crate) mod tests;
