//! Large pictures shrunk once, for training that reads them in every epoch.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bauta_datasets::{DataError, SampleType};

use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::image::Image;
use crate::sample::Sample;
use crate::source::{Source, Statistics};

/// A view of a source whose pictures have a limited shorter side.
///
/// A larger picture is decoded and shrunk, antialiased and with its ratio, when it is first read,
/// and then kept in an unnamed file, which is deleted with the view. A picture that cannot be
/// decoded is an error each time.
pub struct Shrunk {
    source: Arc<dyn Source>,
    side: usize,
    file: File,
    /// Offset of the next picture.
    end: AtomicU64,
    kept: Vec<OnceLock<Kept>>,
}

/// Position of a picture in the file.
#[derive(Clone, Copy)]
struct Kept {
    offset: u64,
    height: usize,
    width: usize,
}

impl Shrunk {
    /// Shrinks to shorter sides of `side` pixels, and keeps the shrunk pictures in `folder`, which
    /// is created if necessary.
    ///
    /// # Errors
    /// [`DataError::Setting`] when `side` is 0, [`DataError::Io`] when no file can be created.
    pub fn new(source: Arc<dyn Source>, side: usize, folder: &Path) -> Result<Self, DataError> {
        if side == 0 {
            return Err(DataError::setting("side", side, "must be at least 1"));
        }
        let file = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = file.map_err(DataError::io(folder))?;
        let kept = (0..source.len()).map(|_| OnceLock::new()).collect();
        Ok(Self { source, side, file, end: AtomicU64::new(0), kept })
    }

    /// The size to which a picture of `height` by `width` is shrunk; `None` if it stays as it is.
    fn size(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let shorter = height.min(width);
        let scaled = |side: usize| (side * self.side).div_ceil(shorter);
        (shorter > self.side).then(|| [scaled(height), scaled(width)])
    }

    /// Keeps a shrunk picture. If the disk is full, it is shrunk anew each time.
    fn keep<S: Sample>(&self, index: usize, [height, width]: [usize; 2], pixels: &[S]) {
        let pixels = S::as_bytes(pixels);
        let offset = self.end.fetch_add(pixels.len() as u64, Ordering::Relaxed);
        if self.file.write_all_at(pixels, offset).is_ok() {
            // Another thread may have been faster; its copy is the same.
            let _ = self.kept[index].set(Kept { offset, height, width });
        }
    }

    /// Reads a picture, shrunk if it is larger.
    fn read<S: Sample>(&self, index: usize) -> Result<Image<'_, S>, DataError> {
        let channels = self.source.channels();
        if let Some(&Kept { offset, height, width }) = self.kept[index].get() {
            let mut pixels = vec![S::default(); height * width * channels];
            let read = self.file.read_exact_at(S::as_bytes_mut(&mut pixels), offset);
            read.map_err(DataError::io(Path::new("the file of shrunk pictures")))?;
            return Ok(Image::new(height, width, channels, pixels));
        }
        let image = S::read(&*self.source, index)?;
        let Some([height, width]) = self.size(image.height(), image.width()) else {
            return Ok(image);
        };
        let whole = Region::whole(image.height(), image.width());
        let mut resizer = Resizer::default();
        let pixels = resizer.resize(&image, whole, height, width);
        self.keep(index, [height, width], pixels);
        Ok(Image::new(height, width, image.channels(), pixels.to_vec()))
    }
}

impl Source for Shrunk {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.read(index)
    }

    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        self.read(index)
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.source.statistics()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;

    /// Pictures of one size, with a count of how often one is decoded; the third is damaged.
    struct Counting {
        size: [usize; 2],
        decoded: AtomicUsize,
    }

    impl Source for Counting {
        fn len(&self) -> usize {
            3
        }

        fn channels(&self) -> usize {
            3
        }

        fn classes(&self) -> &[String] {
            &[]
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            if index == 2 {
                let (image, problem) = (self.describe(index), "cut off".to_owned());
                return Err(DataError::Image { image, problem });
            }
            let [height, width] = self.size;
            let pixels: Vec<u8> = (0..height * width * 3).map(|i| (i % 251) as u8).collect();
            Ok(Image::new(height, width, 3, pixels))
        }

        fn describe(&self, index: usize) -> String {
            format!("picture {index}")
        }

        fn statistics(&self) -> Statistics {
            Statistics::IMAGENET
        }
    }

    fn shrunk(size: [usize; 2], side: usize) -> (Arc<Counting>, Shrunk) {
        let folder = tempfile::tempdir().unwrap();
        let counting = Arc::new(Counting { size, decoded: AtomicUsize::new(0) });
        let source: Arc<dyn Source> = Arc::clone(&counting) as _;
        (counting, Shrunk::new(source, side, folder.path()).unwrap())
    }

    #[test]
    fn a_large_picture_is_decoded_once_and_always_the_same() {
        let (counting, pictures) = shrunk([90, 60], 20);
        let first = pictures.image(1).unwrap();
        assert_eq!((first.height(), first.width()), (30, 20));
        let mut resizer = Resizer::default();
        let original = counting.image(1).unwrap();
        assert_eq!(first.pixels(), resizer.resize(&original, Region::whole(90, 60), 30, 20));
        assert_eq!(counting.decoded.swap(0, Ordering::Relaxed), 2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for index in [0, 1, 0] {
                        assert_eq!(pictures.image(index).unwrap(), first);
                    }
                });
            }
        });
        // Threads that met on picture 0 may each have decoded it.
        assert!(counting.decoded.load(Ordering::Relaxed) <= 4);
    }

    #[test]
    fn a_small_picture_is_the_sources_own_and_a_damaged_one_an_error_each_time() {
        let (counting, pictures) = shrunk([20, 60], 20);
        for _ in 0..2 {
            assert_eq!(pictures.image(0).unwrap(), counting.image(0).unwrap());
            assert!(pictures.image(2).unwrap_err().to_string().contains("cut off"));
        }
        let none = Shrunk::new(counting as _, 0, Path::new(".")).err().unwrap();
        assert!(none.to_string().contains("side"), "{none}");
    }

    proptest! {
        #[test]
        fn the_shorter_side_is_exact_and_the_ratio_is_kept(
            height in 1_usize..5000, width in 1_usize..5000, side in 1_usize..300,
        ) {
            let (_, pictures) = shrunk([1, 1], side);
            match pictures.size(height, width) {
                None => prop_assert!(height.min(width) <= side),
                Some([h, w]) => {
                    prop_assert_eq!(h.min(w), side);
                    let (longer, scaled) = (height.max(width), h.max(w));
                    let exact = longer as f64 * side as f64 / height.min(width) as f64;
                    prop_assert!((scaled as f64 - exact).abs() < 1.0);
                }
            }
        }
    }
}
