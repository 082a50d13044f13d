//! Eight-bit images in memory, and decoding into them.
//!
//! Every file becomes RGB: grey is repeated, sixteen bits are rounded to
//! eight, and transparency is composited on white. EXIF orientation is not
//! applied, as in the loaders that published numbers come from.

use std::borrow::Cow;

/// An image of eight-bit samples in the order row, column, channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Cow<'a, [u8]>,
}

impl<'a> Image<'a> {
    /// Wraps `height · width · channels` samples, owned or borrowed.
    ///
    /// # Panics
    /// When a side is 0 or `pixels` has another length.
    pub fn new(
        height: usize,
        width: usize,
        channels: usize,
        pixels: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        let pixels = pixels.into();
        assert!(height > 0 && width > 0, "an image of {height} × {width} pixels");
        assert_eq!(pixels.len(), height * width * channels, "{height} × {width} × {channels}");
        Self { height, width, channels, pixels }
    }

    /// Decodes a JPEG, PNG or WebP file to RGB; the contents decide which it is.
    ///
    /// # Errors
    /// The decoder's words, when the file is truncated, corrupt, of another
    /// format, or so large that it would take more than 512 MiB.
    pub fn decode(file: &[u8]) -> Result<Image<'static>, String> {
        let decoded = ::image::load_from_memory(file).map_err(|error| error.to_string())?;
        let (height, width) = (decoded.height() as usize, decoded.width() as usize);
        if height == 0 || width == 0 {
            return Err("it has no pixels".to_owned());
        }
        let pixels = if decoded.color().has_alpha() {
            composite_on_white(decoded.into_rgba8().as_raw())
        } else {
            decoded.into_rgb8().into_raw()
        };
        Ok(Image::new(height, width, 3, pixels))
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Samples a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples, \[height, width, channels\].
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
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

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Cursor;

    use ::image::{DynamicImage, ImageFormat};

    use super::*;

    /// Encodes a picture made by the `image` crate.
    pub(crate) fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    /// A small RGB gradient whose content depends on `seed`.
    pub(crate) fn gradient(height: u32, width: u32, seed: u8) -> DynamicImage {
        DynamicImage::ImageRgb8(::image::RgbImage::from_fn(width, height, |x, y| {
            ::image::Rgb([(x * 7) as u8 ^ seed, (y * 5) as u8, (x + y) as u8])
        }))
    }

    #[test]
    fn every_colour_type_becomes_rgb() {
        let grey = ::image::GrayImage::from_pixel(3, 2, ::image::Luma([100]));
        let wide = ::image::ImageBuffer::from_pixel(3, 2, ::image::Rgb([0_u16, 257 * 9, 65535]));
        let half = ::image::GrayAlphaImage::from_pixel(3, 2, ::image::LumaA([0, 128]));
        let clear = ::image::RgbaImage::from_pixel(3, 2, ::image::Rgba([9, 9, 9, 0]));
        for (picture, expected) in [
            (DynamicImage::ImageLuma8(grey), [100, 100, 100]),
            (DynamicImage::ImageRgb16(wide), [0, 9, 255]),
            (DynamicImage::ImageLumaA8(half), [127, 127, 127]),
            (DynamicImage::ImageRgba8(clear), [255, 255, 255]),
        ] {
            let image = Image::decode(&encode(&picture, ImageFormat::Png)).unwrap();
            assert_eq!((image.height(), image.width(), image.channels()), (2, 3, 3));
            assert_eq!(&image.pixels()[..3], &expected, "{:?}", picture.color());
        }
    }

    #[test]
    fn jpeg_and_webp_decode() {
        for format in [ImageFormat::Jpeg, ImageFormat::WebP] {
            let image = Image::decode(&encode(&gradient(20, 30, 0), format)).unwrap();
            assert_eq!((image.height(), image.width()), (20, 30), "{format:?}");
        }
    }

    #[test]
    fn hostile_files_are_errors() {
        let whole = encode(&gradient(16, 16, 0), ImageFormat::Png);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x55;
        // The header of a PNG of 65535 × 65535 pixels, with nothing behind it.
        let mut vast = whole[..33].to_vec();
        vast[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
        for file in [&[][..], b"not an image", &whole[..whole.len() / 2], &flipped, &vast] {
            assert!(Image::decode(file).is_err());
        }
    }
}
