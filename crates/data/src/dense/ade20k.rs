//! ADE20K's scene parsing benchmark, or any folder in its layout (Zhou et al. 2017).
//!
//! `images/{training,validation}/*.jpg` and, under the same names,
//! `annotations/{training,validation}/*.png` with a number for each pixel, as a grey level or a
//! palette index: 0 and 255 are not labelled, 1 … 150 are the classes.

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Decoding, Split};

use super::{DenseSample, DenseSource, IGNORED, LabelMap};
use crate::image::{Image, claimed_size};
use crate::regular;
use crate::source::Statistics;
use crate::source::listing::{entries, is_picture};

/// Number of classes of the benchmark.
const CLASSES: usize = 150;

/// Photos with a class for every pixel, in the order of their names.
#[derive(Debug)]
pub struct Ade20k {
    annotations: PathBuf,
    pairs: Vec<[PathBuf; 2]>,
    classes: Vec<String>,
    decoding: Decoding,
}

impl Ade20k {
    /// Lists the images and annotations of a split below `root`.
    ///
    /// Class k of the files (from 1) becomes k - 1, and 0 and 255 become [`IGNORED`]. Classes have
    /// the names in `objectInfo150.txt` if `root` holds that file, and their numbers otherwise.
    ///
    /// # Errors
    /// When folders or images are missing, an image has no annotation, or an annotation no image.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let part = match split {
            Split::Train => "training",
            Split::Test => "validation",
        };
        let folder = |kind: &str| -> Result<PathBuf, DataError> {
            let folder = root.join(kind).join(part);
            folder.is_dir().then(|| folder.clone()).ok_or_else(|| DataError::Absent {
                path: root.to_path_buf(),
                wanted: format!("folder {kind}/{part}"),
                remedy: "name the folder that holds ADE20K's `images` and `annotations`".into(),
            })
        };
        let (images, annotations) = (folder("images")?, folder("annotations")?);
        let (mut pairs, mut names) = (Vec::new(), HashSet::new());
        for image in entries(&images)?.into_iter().filter(|path| is_picture(path)) {
            let name = Path::new(image.file_name().unwrap_or_default()).with_extension("png");
            let annotation = annotations.join(&name);
            if !annotation.is_file() {
                return Err(DataError::Absent {
                    path: annotations,
                    wanted: name.display().to_string(),
                    remedy: format!("every image of images/{part} needs its annotation"),
                });
            }
            pairs.push([image, annotation]);
            names.insert(name);
        }
        if pairs.is_empty() {
            let (wanted, remedy) = ("images".to_owned(), "unpack the data set again".to_owned());
            return Err(DataError::Absent { path: images, wanted, remedy });
        }
        let png = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "png");
        for annotation in entries(&annotations)?.into_iter().filter(png) {
            let name = Path::new(annotation.file_name().unwrap_or_default());
            if !names.contains(name) {
                return Err(DataError::Absent {
                    path: images,
                    wanted: format!("image of the annotation {}", name.display()),
                    remedy: format!("every annotation of annotations/{part} needs its image"),
                });
            }
        }
        let classes = class_names(root)?;
        Ok(Self { annotations, pairs, classes, decoding: Decoding::default() })
    }

    /// The folder of the annotations.
    pub(super) fn annotations(&self) -> &Path {
        &self.annotations
    }

    /// Limits the number of pixels of a picture.
    pub fn with_max_pixels(self, max_pixels: u64) -> Self {
        Self { decoding: Decoding { max_pixels, ..self.decoding }, ..self }
    }
}

impl DenseSource for Ade20k {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn pixel_classes(&self) -> &[String] {
        &self.classes
    }

    fn object_classes(&self) -> &[String] {
        &[]
    }

    fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
        let [image, annotation] = &self.pairs[index];
        let image = decode(image, self.decoding)?;
        let labels = read_labels(annotation, [image.height(), image.width()])?;
        Ok(DenseSample { image, labels: Some(labels), objects: Vec::new() })
    }

    fn look(&self, index: usize) -> Result<bool, DataError> {
        let [image, annotation] = &self.pairs[index];
        let labels = read_labels(annotation, claimed_size(image, self.decoding)?)?.labels;
        Ok(labels.iter().any(|&label| label != IGNORED))
    }

    fn describe(&self, index: usize) -> String {
        self.pairs[index][0].display().to_string()
    }

    fn statistics(&self) -> Statistics {
        Statistics::IMAGENET
    }
}

/// Reads and decodes a picture.
pub(super) fn decode(path: &Path, decoding: Decoding) -> Result<Image<'static>, DataError> {
    let file = regular::read(path)?;
    Image::decode_with(&file, decoding)
        .map_err(|problem| DataError::Image { image: path.display().to_string(), problem })
}

/// Reads an annotation: a grey level or a palette index for each pixel, of up to 8 bits.
fn read_labels(path: &Path, size: [usize; 2]) -> Result<LabelMap, DataError> {
    let file = regular::read(path)?;
    let refuse = |problem: String| DataError::malformed(path, problem);
    let damaged = |error: png::DecodingError| DataError::Image {
        image: path.display().to_string(),
        problem: error.to_string(),
    };
    let mut decoder = png::Decoder::new(Cursor::new(&file));
    // Levels as they are stored: as brightness, those with fewer bits would be stretched.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let about = reader.info();
    let (height, width) = (about.height as usize, about.width as usize);
    let (colours, bits) = (about.color_type, about.bit_depth as usize);
    if !matches!(colours, png::ColorType::Grayscale | png::ColorType::Indexed) || bits > 8 {
        let found = format!("{colours:?} of {bits} bits");
        let rule = "annotations must be grey or have a palette, with at most 8 bits per pixel";
        return Err(refuse(format!("{rule}; this one is {found}")));
    }
    if [height, width] != size {
        let [high, wide] = size;
        return Err(refuse(format!(
            "the annotation has {height} × {width} pixels, but its image has {high} × {wide}"
        )));
    }
    let row = (width * bits).div_ceil(8);
    let mut packed = vec![0; reader.output_buffer_size().unwrap_or(row * height)];
    reader.next_frame(&mut packed).map_err(damaged)?;
    let mut labels = Vec::with_capacity(height * width);
    for row in packed.chunks_exact(row).take(height) {
        for x in 0..width {
            let shift = 8 - bits - x * bits % 8;
            let level = row[x * bits / 8] >> shift & (0xff >> (8 - bits)) as u8;
            if usize::from(level) > CLASSES && level != IGNORED {
                return Err(refuse(format!("label {level}, but there are {CLASSES} classes")));
            }
            // 0 wraps to 255, which is ignored.
            labels.push(if level == IGNORED { IGNORED } else { level.wrapping_sub(1) });
        }
    }
    Ok(LabelMap { height, width, labels })
}

/// The last column of `objectInfo150.txt`, below its headings.
fn class_names(root: &Path) -> Result<Vec<String>, DataError> {
    let path = root.join("objectInfo150.txt");
    if !path.is_file() {
        return Ok((1..=CLASSES).map(|class| format!("class {class}")).collect());
    }
    let text = fs::read_to_string(&path).map_err(DataError::io(&path))?;
    let names = text.lines().skip(1).filter_map(|line| line.split('\t').next_back());
    let names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    if names.len() != CLASSES {
        let problem = format!("{} classes below its headings, not {CLASSES}", names.len());
        return Err(DataError::malformed(&path, problem));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, ImageFormat, Luma};

    use super::*;
    use crate::image::tests::{encode, gradient};

    fn write(path: PathBuf, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn grey(width: u32, height: u32, of: impl Fn(u32, u32) -> u8) -> Vec<u8> {
        let image = GrayImage::from_fn(width, height, |x, y| Luma([of(x, y)]));
        encode(&DynamicImage::ImageLuma8(image), ImageFormat::Png)
    }

    #[test]
    fn labels_are_shifted_and_the_unlabelled_ignored() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let photo = encode(&gradient(2, 3, 0), ImageFormat::Jpeg);
        write(at("images/validation/b.jpg"), &photo);
        write(at("images/validation/a.jpg"), &photo);
        write(
            at("annotations/validation/b.png"),
            &grey(3, 2, |x, y| [0, 1, 150][x as usize] * (1 - y as u8)),
        );
        let missing = Ade20k::open(Split::Test, root.path()).unwrap_err().to_string();
        assert!(missing.contains("a.png"), "{missing}");
        write(at("annotations/validation/a.png"), &grey(3, 2, |_, _| 7));

        let found = Ade20k::open(Split::Test, root.path()).unwrap();
        assert_eq!((found.len(), found.pixel_classes().len()), (2, 150));
        let sample = found.sample(1).unwrap();
        assert_eq!((sample.image.height(), sample.image.width()), (2, 3));
        assert_eq!(sample.labels.unwrap().labels, [255, 0, 149, 255, 255, 255]);
        assert!(found.describe(1).ends_with("b.jpg"));
        let absent = Ade20k::open(Split::Train, root.path()).unwrap_err().to_string();
        assert!(absent.contains("images/training"), "{absent}");
    }

    #[test]
    fn labels_of_few_bits_and_palettes_are_the_same_labels() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(at("images/training/a.jpg"), &encode(&gradient(2, 5, 0), ImageFormat::Jpeg));
        let levels = [[0, 1, 2, 3, 1], [3, 3, 0, 2, 1]];
        for (bits, depth) in [
            (1, png::BitDepth::One),
            (2, png::BitDepth::Two),
            (4, png::BitDepth::Four),
            (8, png::BitDepth::Eight),
        ] {
            for colours in [png::ColorType::Grayscale, png::ColorType::Indexed] {
                let most = (1_u8 << bits.min(2)) - 1;
                let mut file = Vec::new();
                let mut encoder = png::Encoder::new(&mut file, 5, 2);
                encoder.set_color(colours);
                encoder.set_depth(depth);
                if colours == png::ColorType::Indexed {
                    encoder.set_palette([200; 12].as_slice());
                }
                let pack = |row: &[u8; 5]| -> Vec<u8> {
                    let mut packed = vec![0; (5 * bits as usize).div_ceil(8)];
                    for (x, level) in row.iter().enumerate() {
                        let bit = x * bits as usize;
                        packed[bit / 8] |= level.min(&most) << (8 - bits as usize - bit % 8);
                    }
                    packed
                };
                let packed: Vec<u8> = levels.iter().flat_map(pack).collect();
                encoder.write_header().unwrap().write_image_data(&packed).unwrap();
                write(at("annotations/training/a.png"), &file);
                let source = Ade20k::open(Split::Train, root.path()).unwrap();
                let wanted = levels.iter().flatten().map(|&level: &u8| level.min(most));
                let wanted: Vec<u8> = wanted.map(|level| level.wrapping_sub(1)).collect();
                assert_eq!(source.sample(0).unwrap().labels.unwrap().labels, wanted, "{bits}");
            }
        }
        write(
            at("annotations/training/a.png"),
            &grey(5, 2, |x, _| [0, 255, 150, 1, 7][x as usize]),
        );
        let source = Ade20k::open(Split::Train, root.path()).unwrap();
        let labels = source.sample(0).unwrap().labels.unwrap().labels;
        assert_eq!(labels[..5], [IGNORED, IGNORED, 149, 0, 6]);
    }

    #[test]
    fn annotations_of_another_kind_size_or_class_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(at("images/training/a.jpg"), &encode(&gradient(4, 5, 0), ImageFormat::Jpeg));
        let colour = encode(&gradient(4, 5, 0), ImageFormat::Png);
        for (bytes, word) in [
            (grey(5, 4, |_, _| 151), "label 151"),
            (grey(4, 5, |_, _| 1), "has 5 × 4 pixels, but its image has 4 × 5"),
            (colour, "grey"),
            (b"not a png".to_vec(), "a.png"),
        ] {
            write(at("annotations/training/a.png"), &bytes);
            let source = Ade20k::open(Split::Train, root.path()).unwrap();
            let error = source.sample(0).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        write(at("objectInfo150.txt"), b"Idx\tName\n1\twall\n");
        let error = Ade20k::open(Split::Train, root.path()).unwrap_err().to_string();
        assert!(error.contains("1 classes"), "{error}");
    }
}
