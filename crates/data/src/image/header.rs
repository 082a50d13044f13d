//! The size of a picture, from its header.

use std::io::BufReader;
use std::path::Path;

use bauta_datasets::{DataError, Decoding};
use image::{ImageFormat, ImageReader};

use super::{jpeg, refused};
use crate::regular;

/// Height and width according to a picture's header; nothing is decoded.
///
/// # Errors
/// [`DataError::Image`] when the header is damaged or claims more than `decoding` allows, and
/// [`DataError::Io`] when there is no file.
pub(crate) fn claimed_size(path: &Path, decoding: Decoding) -> Result<[usize; 2], DataError> {
    let damaged = |problem: String| DataError::Image { image: path.display().to_string(), problem };
    let reader = ImageReader::new(BufReader::new(regular::open(path)?));
    let reader = reader.with_guessed_format().map_err(DataError::io(path))?;
    let (width, height) = match reader.format() {
        Some(ImageFormat::Jpeg) => jpeg::claimed_size(reader.into_inner()).map_err(damaged)?,
        Some(ImageFormat::Png | ImageFormat::WebP) => {
            let (width, height) =
                reader.into_dimensions().map_err(|error| damaged(refused(&error, decoding)))?;
            (width as usize, height as usize)
        }
        _ => return Err(damaged("it is not a JPEG, PNG or WebP file".to_owned())),
    };
    decoding.check_size(width as u64, height as u64).map_err(damaged)?;
    Ok([height, width])
}

#[cfg(test)]
mod tests {
    use super::super::Image;
    use super::super::tests::formats;
    use super::*;

    #[test]
    fn headers_say_what_is_decoded_and_damage_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        let size = |bytes: &[u8], decoding| {
            std::fs::write(&path, bytes).unwrap();
            claimed_size(&path, decoding)
        };
        let formats = formats();
        assert!(!formats.is_empty());
        for (name, file) in formats {
            let decoded = Image::decode(&file).unwrap();
            let (height, width) = (decoded.height(), decoded.width());
            assert_eq!(size(&file, Decoding::default()).unwrap(), [height, width], "{name}");
            let few = Decoding { max_pixels: 1, ..Decoding::default() };
            for error in [size(&file, few), size(&file[..12], Decoding::default())] {
                assert!(matches!(error, Err(DataError::Image { .. })), "{name}: {error:?}");
            }
        }
        let absent = claimed_size(&folder.path().join("absent"), Decoding::default());
        assert!(matches!(absent, Err(DataError::Io { .. })), "{absent:?}");
    }
}
