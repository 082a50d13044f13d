//! Decoding of files of every kind, and errors for damaged ones.

use std::io::Cursor;

use ::image::{DynamicImage, ImageFormat};
use bauta_streams::{Purpose, StreamKey};

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

/// A file of every kind that the decoders distinguish, with its name.
pub(crate) fn formats() -> Vec<(&'static str, Vec<u8>)> {
    let picture = gradient(40, 56, 3);
    let grey = DynamicImage::ImageLuma8(picture.to_luma8());
    let alpha = DynamicImage::ImageRgba8(picture.to_rgba8());
    let mut files = vec![
        ("jpeg", encode(&picture, ImageFormat::Jpeg)),
        ("grey jpeg", encode(&grey, ImageFormat::Jpeg)),
        ("png", encode(&picture, ImageFormat::Png)),
        ("png with alpha", encode(&alpha, ImageFormat::Png)),
        ("webp", encode(&picture, ImageFormat::WebP)),
    ];
    for (name, file) in [
        ("progressive jpeg", &include_bytes!("../../tests/fixtures/progressive.jpg")[..]),
        ("jpeg with restarts", include_bytes!("../../tests/fixtures/restarts.jpg")),
        ("CMYK jpeg", include_bytes!("../../tests/fixtures/cmyk.jpg")),
        ("lossy webp", include_bytes!("../../tests/fixtures/lossy.webp")),
    ] {
        files.push((name, file.to_vec()));
    }
    files
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    for (name, file) in formats() {
        assert!(Image::decode(&file).is_ok(), "{name}");
        for length in 0..file.len() {
            assert!(Image::decode(&file[..length]).is_err(), "{name}, {length} of {}", file.len());
        }
        // Data after the end of a picture are ignored.
        let longer = [&file[..], b"appended"].concat();
        assert_eq!(Image::decode(&longer), Image::decode(&file), "{name}");
    }
}

/// The start of a JPEG's first coded data.
fn coded_data(file: &[u8]) -> usize {
    file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14
}

#[test]
fn coded_data_that_break_off_before_the_end_marker_are_an_error() {
    for (name, file) in formats().into_iter().filter(|(name, _)| name.contains("jpeg")) {
        // A progressive picture that ends after any of its scans is a picture, too.
        let scans = file.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
        let decoded = (coded_data(&file)..file.len() - 4).filter(|&length| {
            let closed = [&file[..length], &[0xff, 0xd9]].concat();
            Image::decode(&closed).is_ok()
        });
        let most = if scans == 1 { 0 } else { 8 * scans };
        assert!(decoded.count() <= most, "{name}");
        // Nor may there be more coded data than the pixels need, except for padding zeros.
        let more =
            |bytes: &[u8]| Image::decode(&[&file[..file.len() - 2], bytes, &[0xff, 0xd9]].concat());
        assert!(more(&[0x12, 0x34, 0x56, 0x78, 0x9a]).is_err(), "{name}");
        assert_eq!(more(&[0, 0, 0]).unwrap(), Image::decode(&file).unwrap(), "{name}");
    }
}

#[test]
fn a_stretch_of_damage_is_an_error_in_most_places() {
    let key = StreamKey { seed: 0, purpose: Purpose::named("damage"), epoch: 0, sample: 0 };
    let stream = &mut key.stream();
    // The bool coder of lossy WebP accepts anything as a picture.
    for (name, file) in formats().into_iter().filter(|(name, _)| *name != "lossy webp") {
        let whole = Image::decode(&file).unwrap();
        let start = if name.contains("jpeg") { coded_data(&file) } else { 40 };
        let size = (file.len() - start) / 4;
        let (mut passed, mut tried) = (0, 0);
        for at in (start..file.len() - size - 12).step_by(3) {
            let mut damaged = file.clone();
            damaged[at..at + size].fill_with(|| stream.below(255) as u8);
            tried += 1;
            passed += usize::from(Image::decode(&damaged).is_ok_and(|image| image != whole));
        }
        assert!(tried >= 10 && passed * 8 <= tried, "{name}: {passed} of {tried} pass");
    }
}

#[test]
fn a_picture_may_claim_so_many_pixels_and_no_more() {
    for (name, file) in formats() {
        let image = Image::decode(&file).unwrap();
        let pixels = (image.height() * image.width()) as u64;
        let within =
            |max_pixels| Image::decode_with(&file, Decoding { max_pixels, ..Decoding::default() });
        assert_eq!(within(pixels).as_ref(), Ok(&image), "{name}");
        let error = within(pixels - 1).unwrap_err();
        assert!(error.contains("max_pixels"), "{name}: {error}");
    }
}

#[test]
fn grey_weighs_colours_as_pillow_does() {
    let decoding = Decoding { channels: Channels::Grey, ..Decoding::default() };
    // The greys are those of Pillow's `convert("L")`.
    for (rgb, grey) in
        [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([13, 200, 77], 130)]
    {
        let picture = ::image::RgbImage::from_pixel(3, 2, ::image::Rgb(rgb));
        let file = encode(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
        let image = Image::decode_with(&file, decoding).unwrap();
        assert_eq!((image.channels(), image.pixels()), (1, &[grey; 6][..]));
    }
    for level in [0, 1, 77, 255] {
        let picture = ::image::GrayImage::from_pixel(3, 2, ::image::Luma([level]));
        let file = encode(&DynamicImage::ImageLuma8(picture), ImageFormat::Png);
        assert_eq!(Image::decode_with(&file, decoding).unwrap().pixels(), [level; 6]);
    }
}

#[test]
fn hostile_files_are_errors() {
    let whole = encode(&gradient(16, 16, 0), ImageFormat::Png);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x55;
    // The header of a PNG of 65535 × 65535 pixels, with nothing after it.
    let mut vast = whole[..33].to_vec();
    vast[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    for file in [&[][..], b"not an image", &whole[..whole.len() / 2], &flipped, &vast] {
        assert!(Image::decode(file).is_err());
    }
}
