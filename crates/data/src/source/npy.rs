//! Arrays in NumPy's `.npy` format as pictures of any number of channels.
//!
//! A file is `\x93NUMPY`, a version, the length of a header and the header, which is a
//! Python dictionary of `descr`, `fortran_order` and `shape`; then the values, last axis
//! fastest, or the first one in Fortran order. A picture is [C, H, W] or [H, W] of `uint8`,
//! `bool` (as 0 and 1), `uint16` or `float32`, which keep their values.

use std::io::Read;
use std::path::Path;

use bauta_datasets::{DataError, SampleType};

use crate::image::Image;
use crate::regular;
use crate::sample::Sample;

/// Types of values that are read: bytes, and wider ones in either byte order.
const TYPES: [&str; 9] = ["|u1", "<u1", ">u1", "u1", "|b1", "<u2", ">u2", "<f4", ">f4"];

/// Bytes within which the header of an array of pictures must end; NumPy pads it to 128.
const LONGEST_HEADER: u64 = 4096;

/// Maximum number of channels of a picture.
const MAX_CHANNELS: usize = 1024;

/// A picture with the samples that its file holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Array {
    /// Of `uint8` or `bool`.
    Bytes(Image<'static>),
    /// Of this type, in its own units.
    Values(SampleType, Image<'static, f32>),
}

impl Array {
    /// Type of its samples.
    pub(crate) fn sample_type(&self) -> SampleType {
        match self {
            Self::Bytes(_) => SampleType::Uint8,
            Self::Values(found, _) => *found,
        }
    }

    /// Number of its channels.
    pub(crate) fn channels(&self) -> usize {
        match self {
            Self::Bytes(image) => image.channels(),
            Self::Values(_, image) => image.channels(),
        }
    }
}

/// Reads a picture.
///
/// # Errors
/// When the file is not such an array, is truncated, holds values that are not finite, or claims
/// more than `max_pixels` pixels.
pub(crate) fn read(path: &Path, max_pixels: u64) -> Result<Array, DataError> {
    let file = regular::read(path)?;
    parse(&file, max_pixels)
        .map_err(|problem| DataError::Image { image: path.display().to_string(), problem })
}

/// Channels and sample type of a picture, according to its header; `None` if it is damaged or of
/// another type.
pub(crate) fn claimed(path: &Path) -> Option<(usize, SampleType)> {
    let mut start = Vec::new();
    regular::open(path).ok()?.take(LONGEST_HEADER).read_to_end(&mut start).ok()?;
    let (header, _) = divide(&start)?;
    let sample_type = match entry(header, "descr").ok()?.trim_matches(['\'', '"']) {
        "<u2" | ">u2" => SampleType::Uint16,
        "<f4" | ">f4" => SampleType::Float32,
        descr if TYPES.contains(&descr) => SampleType::Uint8,
        _ => return None,
    };
    let [channels, ..] = shape(header, u64::MAX).ok()?;
    Some((channels, sample_type))
}

fn parse(file: &[u8], max_pixels: u64) -> Result<Array, String> {
    let (header, values) = divide(file).ok_or("it is not a complete .npy file")?;
    let descr = entry(header, "descr")?.trim_matches(['\'', '"']);
    if !TYPES.contains(&descr) {
        return Err(format!(
            "its values have type {descr}; uint8 (|u1), uint16 (<u2) and float32 (<f4) are \
             supported: convert them with astype"
        ));
    }
    let shape = shape(header, max_pixels)?;
    let order = order(header)?;
    let sixteen = |decode: fn([u8; 2]) -> u16| {
        let values = numbers(values, shape, order, |bytes| f32::from(decode(bytes)))?;
        Ok(Array::Values(SampleType::Uint16, values))
    };
    let single = |decode: fn([u8; 4]) -> f32| {
        let values = numbers(values, shape, order, decode)?;
        match values.pixels().iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("it holds the value {value}; all must be finite")),
            None => Ok(Array::Values(SampleType::Float32, values)),
        }
    };
    match descr {
        "<u2" => sixteen(u16::from_le_bytes),
        ">u2" => sixteen(u16::from_be_bytes),
        "<f4" => single(f32::from_le_bytes),
        ">f4" => single(f32::from_be_bytes),
        _ => Ok(Array::Bytes(numbers(values, shape, order, |[byte]: [u8; 1]| byte)?)),
    }
}

/// Channels, height and width, according to the header.
fn shape(header: &str, max_pixels: u64) -> Result<[usize; 3], String> {
    let shape = entry(header, "shape")?;
    let sizes = shape.trim_matches(['(', ')']).split(',').map(str::trim);
    let sizes = sizes.filter(|size| !size.is_empty()).map(str::parse::<usize>);
    let sizes: Vec<usize> =
        sizes.collect::<Result<_, _>>().map_err(|_| format!("its shape is {shape}"))?;
    let (channels, height, width) = match sizes[..] {
        [height, width] => (1, height, width),
        [channels, height, width] => (channels, height, width),
        _ => return Err(format!("its shape is {shape}; a picture is [C, H, W] or [H, W]")),
    };
    if width <= 4 && channels.min(height) >= 16 {
        let remedy = "save it with numpy.transpose(picture, (2, 0, 1))";
        return Err(format!("its shape {shape} looks like [H, W, C], not [C, H, W]; {remedy}"));
    }
    let pixels = (height as u64).saturating_mul(width as u64);
    if pixels > max_pixels {
        let most = format!("max_pixels = {max_pixels}");
        return Err(format!("it claims {width} × {height} pixels, more than {most}"));
    }
    if pixels == 0 || !(1..=MAX_CHANNELS).contains(&channels) {
        let wanted = format!("[C, H, W] of 1 to {MAX_CHANNELS} channels and at least one pixel");
        return Err(format!("its shape is {shape}; a picture is {wanted}"));
    }
    Ok([channels, height, width])
}

/// The axis that varies fastest in a file.
#[derive(Clone, Copy)]
enum Order {
    /// The last one.
    C,
    /// The first one.
    Fortran,
}

fn order(header: &str) -> Result<Order, String> {
    match entry(header, "fortran_order")? {
        "False" => Ok(Order::C),
        "True" => Ok(Order::Fortran),
        other => Err(format!("its fortran_order is {other}; it must be True or False")),
    }
}

/// Interleaves values [C, H, W], so that the samples of each pixel are adjacent.
fn numbers<S: Sample, const BYTES: usize>(
    values: &[u8],
    [channels, height, width]: [usize; 3],
    order: Order,
    decode: impl Fn([u8; BYTES]) -> S,
) -> Result<Image<'static, S>, String> {
    let (found, rest) = values.as_chunks::<BYTES>();
    let plane = height * width;
    if found.len() != channels * plane || !rest.is_empty() {
        let shape = format!("({channels}, {height}, {width})");
        return Err(format!("it holds {} bytes for the shape {shape}", values.len()));
    }
    let mut samples = vec![S::default(); found.len()];
    match order {
        Order::C => {
            for (channel, values) in found.chunks_exact(plane).enumerate() {
                let of_channel = samples[channel..].iter_mut().step_by(channels);
                for (sample, &value) in of_channel.zip(values) {
                    *sample = decode(value);
                }
            }
        }
        Order::Fortran => {
            for (i, values) in found.chunks_exact(channels).enumerate() {
                let (column, row) = (i / height, i % height);
                let pixel = &mut samples[(row * width + column) * channels..][..channels];
                for (sample, &value) in pixel.iter_mut().zip(values) {
                    *sample = decode(value);
                }
            }
        }
    }
    Ok(Image::new(height, width, channels, samples))
}

/// Splits a file into header and values.
fn divide(file: &[u8]) -> Option<(&str, &[u8])> {
    let rest = file.strip_prefix(b"\x93NUMPY")?;
    let (version, rest) = rest.split_at_checked(2)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        _ => return None,
    };
    let (header, values) = rest.split_at_checked(length)?;
    Some((str::from_utf8(header).ok()?, values))
}

/// The text of a dictionary's value, up to the comma or brace after it.
fn entry<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("its header has no {key}");
    let (_, rest) = header.split_once(&format!("'{key}'")).ok_or_else(missing)?;
    let rest = rest.trim_start().strip_prefix(':').ok_or_else(missing)?.trim_start();
    let end = match rest.as_bytes().first() {
        Some(b'(') => rest.find(')').map(|end| end + 1),
        // Fields of a structured type.
        Some(b'[') => rest.find(']').map(|end| end + 1),
        _ => rest.find([',', '}']),
    };
    end.map(|end| rest[..end].trim()).ok_or_else(missing)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The file that `numpy.save` writes.
    pub(crate) fn encode(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let quote = if descr.starts_with('[') { "" } else { "'" };
        let header = format!(
            "{{'descr': {quote}{descr}{quote}, 'fortran_order': False, 'shape': {shape}, }}"
        );
        let mut file = b"\x93NUMPY\x01\0".to_vec();
        let length = (header.len() + 1 + 10).next_multiple_of(64) - 10;
        file.extend((length as u16).to_le_bytes());
        file.extend(format!("{header:<width$}\n", width = length - 1).bytes());
        file.extend(values);
        file
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            channels in 1_usize..7, height in 1_usize..6, width in 1_usize..6, seed: u8,
        ) {
            let count = channels * height * width;
            let values: Vec<u8> = (0..count).map(|i| (i * 7) as u8 ^ seed).collect();
            let file = encode("|u1", &format!("({channels}, {height}, {width})"), &values);
            let image = bytes(&file);
            let found = (image.channels(), image.height(), image.width());
            prop_assert_eq!(found, (channels, height, width));
            for (i, &sample) in image.pixels().iter().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                prop_assert_eq!(sample, values[channel * height * width + pixel]);
            }
            for length in 0..file.len() {
                prop_assert!(parse(&file[..length], 1000).is_err());
            }
        }
    }

    fn bytes(file: &[u8]) -> Image<'static> {
        match parse(file, 1000).unwrap() {
            Array::Bytes(image) => image,
            Array::Values(found, _) => panic!("{found}"),
        }
    }

    #[test]
    fn wider_values_are_kept_in_either_order_of_bytes() {
        let values = [0_u16, 1, 255, 256, 40_001, 65_535];
        let wanted: Vec<f32> = [0, 256, 1, 40_001, 255, 65_535].map(|v: u16| f32::from(v)).to_vec();
        for (descr, order) in
            [("<u2", u16::to_le_bytes as fn(u16) -> [u8; 2]), (">u2", u16::to_be_bytes)]
        {
            let file = encode(descr, "(2, 1, 3)", values.map(order).as_flattened());
            let image = Image::new(1, 3, 2, wanted.clone());
            assert_eq!(parse(&file, 3).unwrap(), Array::Values(SampleType::Uint16, image));
        }
        let values = [0.0_f32, -1.5e-30, 3.0e30, f32::MIN_POSITIVE, 1.0 / 3.0, -7.0];
        for (descr, order) in
            [("<f4", f32::to_le_bytes as fn(f32) -> [u8; 4]), (">f4", f32::to_be_bytes)]
        {
            let file = encode(descr, "(2, 3)", values.map(order).as_flattened());
            let image = Image::new(2, 3, 1, values.to_vec());
            assert_eq!(parse(&file, 6).unwrap(), Array::Values(SampleType::Float32, image));
            for length in 0..file.len() {
                assert!(parse(&file[..length], 6).is_err(), "{descr}, {length} bytes");
            }
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let file = encode("<f4", "(1, 2)", [1.0, bad].map(f32::to_le_bytes).as_flattened());
            assert!(parse(&file, 2).unwrap_err().contains("finite"));
        }
    }

    #[test]
    fn fortran_order_holds_the_same_picture() {
        // numpy.arange(12).reshape(2, 3, 2), saved as numpy.asfortranarray of it.
        let values = [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11];
        let plain = encode("|u1", "(2, 3, 2)", &std::array::from_fn::<u8, 12, _>(|i| i as u8));
        let fortran = String::from_utf8_lossy(&encode("|u1", "(2, 3, 2)", &[])[10..])
            .replace("'fortran_order': False", "'fortran_order': True ");
        let file = [&plain[..10], fortran.as_bytes(), &values].concat();
        assert_eq!(parse(&file, 100).unwrap(), parse(&plain, 100).unwrap());
    }

    #[test]
    fn a_matrix_is_a_grey_picture() {
        let image = bytes(&encode("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]));
        assert_eq!((image.channels(), image.height(), image.width()), (1, 2, 3));
        assert_eq!(image.pixels(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn hostile_arrays_are_errors() {
        let of = |descr: &str, shape: &str| parse(&encode(descr, shape, &[0; 12]), 100);
        for (descr, shape, word) in [
            ("<f8", "(1, 1, 3)", "<f8"),
            ("<i2", "(1, 2, 3)", "uint16"),
            ("<u2", "(1, 2, 2)", "12 bytes"),
            ("<f4", "(1, 2, 2)", "12 bytes"),
            ("|O", "(12,)", "|O"),
            ("[('r', '|u1'), ('g', '|u1')]", "(2, 3)", "[('r', '|u1'), ('g', '|u1')]"),
            ("|u1", "(12,)", "[C, H, W]"),
            ("|u1", "(64, 64, 3)", "transpose"),
            ("|u1", "(1, 1, 3, 4)", "[C, H, W]"),
            ("|u1", "(3, 2, 3)", "12 bytes"),
            ("|u1", "(0, 2, 3)", "1 to 1024"),
            ("|u1", "(12, 1, 0)", "at least one pixel"),
            ("|u1", "(1, 4294967295, 4294967295)", "max_pixels"),
            ("|u1", "(18446744073709551615, 1, 1)", "1 to 1024"),
            ("|u1", "(x, 1, 1)", "shape"),
        ] {
            let error = of(descr, shape).unwrap_err();
            assert!(error.contains(word), "{descr} {shape}: {error}");
        }
    }
}
