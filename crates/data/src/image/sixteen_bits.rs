//! Pictures with sixteen bits per sample, at full precision.

use std::sync::Once;

use ::image::DynamicImage;

use super::{Channels, Decoding, Image, dynamic};

impl Image<'static, f32> {
    /// Decodes a PNG file of sixteen bits per sample, 0 to 65535, without rounding.
    ///
    /// Grey becomes three equal channels, or colours grey, as `decoding` says.
    ///
    /// # Errors
    /// As [`Image::decode_with`], and for files of fewer bits or with transparency.
    pub fn decode_sixteen_bits(file: &[u8], decoding: Decoding) -> Result<Self, String> {
        let decoded = dynamic(file, decoding, false)?;
        let (height, width) = (decoded.height() as usize, decoded.width() as usize);
        let refuse = |found: &str| {
            Err(format!(
                "{found}; uint16 needs PNG files with 16 bits per sample and no transparency: \
                 leave sample_type out to read pictures as uint8"
            ))
        };
        let values = |samples: &[u16]| samples.iter().copied().map(f32::from).collect::<Vec<_>>();
        let (own, samples) = match &decoded {
            DynamicImage::ImageLuma16(grey) => (Channels::Grey, values(grey.as_raw())),
            DynamicImage::ImageRgb16(colours) => (Channels::Rgb, values(colours.as_raw())),
            DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgba16(_) => {
                return refuse("it has transparency");
            }
            _ => return refuse("its samples have 8 bits"),
        };
        let samples = match (own, decoding.channels) {
            (Channels::Grey, Channels::Rgb) => {
                samples.into_iter().flat_map(|grey| [grey; 3]).collect()
            }
            (Channels::Rgb, Channels::Grey) => {
                let (pixels, _) = samples.as_chunks::<3>();
                pixels.iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect()
            }
            _ => samples,
        };
        Ok(Image::new(height, width, decoding.channels.count(), samples))
    }
}

/// Whether a warning has been given that a source's pictures of sixteen bits are rounded to eight.
#[derive(Debug)]
pub(crate) struct Rounding(Once);

impl Default for Rounding {
    fn default() -> Self {
        Self(Once::new())
    }
}

impl Rounding {
    /// Warns about the first such file that is decoded to bytes.
    pub(crate) fn tell(&self, file: &[u8], sample: impl FnOnce() -> String) {
        if has_sixteen_bits(file) {
            self.0.call_once(|| {
                tracing::warn!(
                    "{} has 16 bits per sample; as uint8 such pictures are rounded to 8 bits, \
                     sample_type = \"uint16\" keeps them",
                    sample()
                );
            });
        }
    }
}

/// Whether a file is a PNG of sixteen bits per sample, according to its header.
fn has_sixteen_bits(header: &[u8]) -> bool {
    header.starts_with(b"\x89PNG\r\n\x1a\n") && header.get(24) == Some(&16)
}

#[cfg(test)]
mod tests {
    use ::image::{GrayAlphaImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb};

    use super::*;
    use crate::image::tests::{encode, gradient};

    fn grey() -> Vec<u8> {
        let picture = ImageBuffer::from_fn(5, 3, |x, y| Luma([(x * 13_000 + y + 1) as u16]));
        encode(&DynamicImage::ImageLuma16(picture), ImageFormat::Png)
    }

    #[test]
    fn every_level_is_kept() {
        let decoding = Decoding { channels: Channels::Grey, ..Decoding::default() };
        let image = Image::decode_sixteen_bits(&grey(), decoding).unwrap();
        assert_eq!((image.height(), image.width(), image.channels()), (3, 5, 1));
        let wanted: Vec<f32> = (0..15).map(|i| ((i % 5) * 13_000 + i / 5 + 1) as f32).collect();
        assert_eq!(image.pixels(), wanted);
        let three = Image::decode_sixteen_bits(&grey(), Decoding::default()).unwrap();
        let repeated: Vec<f32> = wanted.iter().flat_map(|&value| [value; 3]).collect();
        assert_eq!((three.channels(), three.pixels()), (3, &repeated[..]));
        let colour = ImageBuffer::from_pixel(2, 1, Rgb([65_535_u16, 257, 1]));
        let file = encode(&DynamicImage::ImageRgb16(colour), ImageFormat::Png);
        let image = Image::decode_sixteen_bits(&file, Decoding::default()).unwrap();
        assert_eq!(image.pixels(), [65_535.0, 257.0, 1.0, 65_535.0, 257.0, 1.0]);
        let image = Image::decode_sixteen_bits(&file, decoding).unwrap();
        assert!((image.pixels()[0] - (0.299 * 65_535.0 + 0.587 * 257.0 + 0.114)).abs() < 0.01);
    }

    #[test]
    fn what_would_have_to_be_converted_is_refused() {
        let refusal =
            |file: &[u8]| Image::decode_sixteen_bits(file, Decoding::default()).unwrap_err();
        let eight = gradient(4, 4, 1);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let found = refusal(&encode(&eight, format));
            assert!(found.contains("8 bits") && found.contains("sample_type"), "{found}");
        }
        let clear = ImageBuffer::from_pixel(2, 2, LumaA([9_u16, 3]));
        let found = refusal(&encode(&DynamicImage::ImageLumaA16(clear), ImageFormat::Png));
        assert!(found.contains("transparency"), "{found}");
        let file = grey();
        for length in 0..file.len() {
            assert!(
                Image::decode_sixteen_bits(&file[..length], Decoding::default()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn sixteen_bits_are_told_by_the_header() {
        assert!(has_sixteen_bits(&grey()[..26]));
        let eight = DynamicImage::ImageLumaA8(GrayAlphaImage::new(2, 2));
        assert!(!has_sixteen_bits(&encode(&eight, ImageFormat::Png)));
        assert!(!has_sixteen_bits(&encode(&gradient(4, 4, 1), ImageFormat::Jpeg)));
        assert!(!has_sixteen_bits(b"\x89PNG"));
    }
}
