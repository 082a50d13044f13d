//! Detection of truncated picture files.
//!
//! Decoders show what they have of a truncated picture, which is right for a viewer and wrong for
//! training data. Each format marks its end: JPEG with an end-of-image marker, PNG with an `IEND`
//! chunk, WebP with a length in its header.

use image::ImageFormat;

/// Refuses a file that stops before its format's end; data after the end are ignored.
///
/// # Errors
/// A description of what is missing.
pub(super) fn check_end(file: &[u8], format: ImageFormat) -> Result<(), String> {
    let whole = match format {
        ImageFormat::Jpeg => jpeg_ends(file),
        ImageFormat::Png => png_ends(file),
        ImageFormat::WebP => webp_ends(file),
        _ => return Ok(()),
    };
    let end = match format {
        ImageFormat::Jpeg => "its end-of-image marker",
        ImageFormat::Png => "its IEND chunk",
        _ => "the length that its header gives",
    };
    if whole { Ok(()) } else { Err(format!("the file is cut off: it stops before {end}")) }
}

/// Walks the segments and the coded data between them, up to the end-of-image marker.
fn jpeg_ends(file: &[u8]) -> bool {
    const STANDALONE: [u8; 10] = [0x01, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8];
    let mut at = 0;
    loop {
        // Coded data and anything else between segments have no marker but 0xff 0x00.
        let Some(next) = file[at..].iter().position(|&byte| byte == 0xff) else { return false };
        at += next + 1;
        match file.get(at) {
            None => return false,
            Some(0xd9) => return true,
            Some(0x00 | 0xff) => {}
            Some(marker) if STANDALONE.contains(marker) => at += 1,
            Some(_) => {
                let Some(&[high, low]) = file.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
                if at > file.len() {
                    return false;
                }
            }
        }
    }
}

/// Walks the chunks up to the last one, which has no content and a checksum of its own.
fn png_ends(file: &[u8]) -> bool {
    let mut rest = file.get(8..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(next) = length.checked_add(4).and_then(|end| after.get(end..)) else {
            return false;
        };
        if kind == *b"IEND" {
            return true;
        }
        rest = next;
    }
    false
}

/// Compares the length of the `RIFF` chunk, without its padding, with the file's.
fn webp_ends(file: &[u8]) -> bool {
    let length = file.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    length.is_some_and(|bytes| (file.len() as u64) >= 8 + u64::from(u32::from_le_bytes(bytes)))
}
