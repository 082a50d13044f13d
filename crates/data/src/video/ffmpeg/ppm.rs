//! Pictures in the PPM format with eight bits, one after the other.

use std::io;

use crate::image::Image;

/// Bytes read at a time for a header; at most this many belong to the picture after it.
const STEP: usize = 64;

/// Reads pictures from a source of bytes.
pub(super) struct Pictures<R> {
    /// Reads into the spare capacity of its buffer and returns the number of bytes, 0 at the end.
    append: R,
    max_pixels: u64,
    /// Bytes that have been read of the next picture.
    begun: Vec<u8>,
}

impl<R: FnMut(&mut Vec<u8>) -> io::Result<usize>> Pictures<R> {
    /// `append` reads into the spare capacity of its buffer and returns the number of bytes, 0 at
    /// the end.
    pub(super) fn new(append: R, max_pixels: u64) -> Self {
        Self { append, max_pixels, begun: Vec::new() }
    }

    /// Reads the next picture; `None` at the end.
    ///
    /// # Errors
    /// When the data are not a picture, end within one, or have more pixels than allowed.
    pub(super) fn next(&mut self) -> io::Result<Option<Image<'static>>> {
        let header = loop {
            if let Some(header) = self.header()? {
                break header;
            }
            self.begun.reserve_exact(STEP);
            if (self.append)(&mut self.begun)? == 0 {
                return match self.begun.len() {
                    0 => Ok(None),
                    _ => Err(wrong("it is not a picture")),
                };
            }
        };
        let Header { length, width, height } = header;
        let size = (width * height * 3) as usize;
        let mut pixels = Vec::with_capacity(size);
        let end = self.begun.len().min(length + size);
        pixels.extend_from_slice(&self.begun[length..end]);
        self.begun.drain(..end);
        while pixels.len() < size {
            if (self.append)(&mut pixels)? == 0 {
                let what = "it ends in the middle of a frame";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
        }
        // A buffer can have more room than was asked for.
        self.begun.extend_from_slice(&pixels[size..]);
        pixels.truncate(size);
        Ok(Some(Image::new(height as usize, width as usize, 3, pixels)))
    }

    /// Reads `P6`, width and height, and the greatest sample, each on its own line; `None` if more
    /// must be read first.
    fn header(&self) -> io::Result<Option<Header>> {
        let ends = self.begun.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let Some((end, _)) = ends.take(3).nth(2) else {
            // No valid header is this long.
            return if self.begun.len() < STEP {
                Ok(None)
            } else {
                Err(wrong("it is not a picture"))
            };
        };
        let text = std::str::from_utf8(&self.begun[..end]).unwrap_or_default();
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let ["P6", width, height, "255"] = fields[..] else {
            return Err(wrong("it is not a picture"));
        };
        let [Ok(width), Ok(height)] = [width, height].map(|side| side.parse::<u64>()) else {
            return Err(wrong("a picture has no size"));
        };
        let max_pixels = self.max_pixels;
        if width.saturating_mul(height) > max_pixels || width * height == 0 {
            let most = format!(
                "frames have {width} × {height} pixels, more than max_pixels = {max_pixels}"
            );
            return Err(wrong(&most));
        }
        Ok(Some(Header { length: end + 1, width, height }))
    }
}

/// The header of a picture.
struct Header {
    /// Its length in bytes.
    length: usize,
    width: u64,
    height: u64,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads pictures from a stream that arrives in pieces of at most `piece` bytes.
    fn pictures<'a>(
        mut stream: &'a [u8],
        piece: usize,
        max_pixels: u64,
    ) -> Pictures<impl FnMut(&mut Vec<u8>) -> io::Result<usize> + use<'a>> {
        let append = move |buffer: &mut Vec<u8>| {
            let room = buffer.capacity() - buffer.len();
            let (now, later) = stream.split_at(stream.len().min(piece).min(room));
            buffer.extend_from_slice(now);
            stream = later;
            Ok(now.len())
        };
        Pictures::new(append, max_pixels)
    }

    #[test]
    fn hostile_pictures_are_refused() {
        for (hostile, words) in [
            (&b"P6\n3 1\n255\nabcdefghi"[..], "3 × 1 pixels"),
            (b"P6\n99999999999 99999999999\n255\n", "max_pixels = 2"),
            (b"P6\n0 1\n255\n", "0 × 1"),
            (b"P6\n2 1\n255\nabc", "middle of a frame"),
            (b"P5\n2 1\n255\nabc", "not a picture"),
            (b"hello", "not a picture"),
            (&[b'7'; 1000], "not a picture"),
            (b"P6\n-2 1\n255\n", "no size"),
        ] {
            let error = pictures(hostile, 1000, 2).next().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn pictures_are_read_one_after_the_other_however_they_come(
            sizes in prop::collection::vec((1_usize..9, 1_usize..9), 0..8), piece in 1_usize..200,
        ) {
            let mut stream = Vec::new();
            for (number, (width, height)) in sizes.iter().enumerate() {
                stream.extend(format!("P6\n{width} {height}\n255\n").bytes());
                stream.extend((0..width * height * 3).map(|at| (at * 7 + number) as u8));
            }
            let mut read = pictures(&stream, piece, 64);
            for (number, (width, height)) in sizes.iter().enumerate() {
                let picture = read.next().unwrap().unwrap();
                prop_assert_eq!((picture.width(), picture.height()), (*width, *height));
                let right = |(at, &sample): (usize, &u8)| sample == (at * 7 + number) as u8;
                prop_assert!(picture.pixels().iter().enumerate().all(right));
            }
            prop_assert!(read.next().unwrap().is_none());
        }
    }
}
