//! Images of more than eight bits through the loader: the values of the files, and nothing else.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bauta_data::{
    Augment, Batch, Colours, Crop, DatasetName, Decoding, Folder, Limited, Loader, LoaderConfig,
    OpenOptions, PartnerSampler, Read, SampleType, Shrunk, Source, Split, Subset, open_splits,
};

const CHANNELS: usize = 6;
const SIDES: [usize; 2] = [7, 5];

/// Sample i of a file, in the file's order of planes.
fn value(file: usize, i: usize) -> f32 {
    1.0e6 + file as f32 * 1000.0 + i as f32 * 0.25
}

fn folder(files: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let [height, width] = SIDES;
    for file in 0..files {
        let header = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({CHANNELS}, {height}, {width}), }}\n"
        );
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend((0..CHANNELS * height * width).flat_map(|i| value(file, i).to_le_bytes()));
        fs::write(root.path().join(format!("{file:03}.npy")), bytes).unwrap();
    }
    root
}

fn source(root: &Path) -> Arc<dyn Source> {
    Arc::new(Folder::all(root, Decoding::default()).unwrap())
}

fn batches(loader: &Loader) -> Vec<Batch> {
    loader.batches(0..2 * loader.steps_per_epoch(), |batch| batch).map(Result::unwrap).collect()
}

fn plain() -> Augment {
    Augment { crop: Crop::None, flip: false, ..Augment::default() }
}

#[test]
fn a_batch_holds_the_values_of_the_files() {
    let root = folder(9);
    let images = source(root.path());
    assert_eq!((images.sample_type(), images.channels()), (SampleType::Float32, CHANNELS));
    let views: [Arc<dyn Source>; 3] = [
        Arc::new(Limited::new(Arc::clone(&images), 9)),
        Arc::new(Subset::new(Arc::clone(&images), (0..9).collect())),
        Arc::new(Shrunk::new(Arc::clone(&images), 7, root.path()).unwrap()),
    ];
    let [height, width] = SIDES;
    for images in [images].iter().chain(&views) {
        let config = LoaderConfig::new(3, height, width);
        let loader = Loader::new(Arc::clone(images), plain(), config).unwrap();
        for batch in batches(&loader) {
            assert_eq!(batch.pixels.dim(), (3, CHANNELS, height, width));
            assert!(batch.pixels.bytes().is_none());
            let values = batch.pixels.values().unwrap();
            for (image, &file) in values.outer_iter().zip(&batch.indices) {
                for (i, &found) in image.iter().enumerate() {
                    assert_eq!(found, value(file as usize, i));
                }
            }
        }
    }
}

#[test]
fn mirrors_crops_and_partners_are_the_same_on_any_number_of_threads() {
    let root = folder(12);
    let images = source(root.path());
    let partners = || Read::Partner(Arc::new(PartnerSampler::new(&*images, None, 3).unwrap()));
    let of = |threads| {
        let config = LoaderConfig { threads, seed: 3, ..LoaderConfig::new(4, 4, 4) };
        let loader = Loader::new(Arc::clone(&images), Augment::default(), config).unwrap();
        batches(&loader.reading(vec![partners()]))
    };
    let one = of(1);
    assert_eq!(one, of(3));
    assert_ne!(one[0].pixels, one[0].reads[0].pixels);
    // Apart from the overshoot of bicubic resizing, the output lies within the picture.
    for batch in &one {
        for (image, &file) in batch.pixels.values().unwrap().outer_iter().zip(&batch.indices) {
            let (least, most) = (value(file as usize, 0), value(file as usize, 209));
            assert!(image.iter().all(|&v| v > least - 5.0 && v < most + 5.0));
        }
    }
    // Mirrored or not, half and half.
    let config = LoaderConfig::new(4, 7, 5);
    let flipping = Augment { flip: true, ..plain() };
    let loader = Loader::new(Arc::clone(&images), flipping, config).unwrap();
    let (mut mirrored, mut all) = (0, 0);
    for batch in loader.batches(0..30, |batch| batch).map(Result::unwrap) {
        for (image, &file) in batch.pixels.values().unwrap().outer_iter().zip(&batch.indices) {
            let row: Vec<f32> = image.index_axis(ndarray::Axis(0), 2).row(1).to_vec();
            let own: Vec<f32> = (0..5).map(|x| value(file as usize, 2 * 35 + 5 + x)).collect();
            let turned: Vec<f32> = own.iter().rev().copied().collect();
            assert!(row == own || row == turned, "{row:?}");
            mirrored += usize::from(row == turned);
            all += 1;
        }
    }
    assert!(mirrored * 3 > all && mirrored * 3 < 2 * all, "{mirrored} of {all}");
}

#[test]
fn a_picture_is_shrunk_once_and_stays_the_same() {
    let root = folder(2);
    let shrunk = Shrunk::new(source(root.path()), 3, root.path()).unwrap();
    assert_eq!(shrunk.sample_type(), SampleType::Float32);
    assert_eq!(shrunk.size(0).unwrap(), [5, 3]);
    let first = shrunk.values(1).unwrap();
    assert_eq!((first.height(), first.width(), first.channels()), (5, 3, CHANNELS));
    assert_eq!(shrunk.values(1).unwrap(), first);
}

#[test]
fn nothing_is_converted_in_silence() {
    let root = folder(6);
    let images = source(root.path());
    let bytes = images.image(0).unwrap_err().to_string();
    assert!(bytes.contains("sample_type = float32") && bytes.contains("uint8"), "{bytes}");
    for (augment, key) in [
        (Augment { colours: Some(Colours::default()), ..plain() }, "colours"),
        (Augment { randaugment: 5.0, ..plain() }, "randaugment"),
        (Augment { erasing: 0.5, ..plain() }, "erasing"),
    ] {
        let refused = Loader::new(Arc::clone(&images), augment, LoaderConfig::new(2, 7, 5));
        let refused = refused.err().unwrap().to_string();
        assert!(refused.starts_with(key) && refused.contains("float32"), "{refused}");
    }
    let open = |name, sample_type| {
        let options = OpenOptions { sample_type: Some(sample_type), ..OpenOptions::default() };
        open_splits(name, root.path(), &options).err().map(|error| error.to_string())
    };
    assert_eq!(open(DatasetName::Folder, SampleType::Float32), None);
    let wrong = open(DatasetName::Folder, SampleType::Uint16).unwrap();
    assert!(wrong.contains("sample_type = uint16") && wrong.contains("000.npy"), "{wrong}");
    for name in [DatasetName::Shards, DatasetName::Mnist] {
        assert!(open(name, SampleType::Uint16).unwrap().contains("read as uint8"));
    }
    // An array that differs from the first is refused.
    let bytes = [&b"\x93NUMPY\x01\0"[..], &(72_u16).to_le_bytes()].concat();
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (6, 7, 5), }";
    let values = [0; 6 * 7 * 5 * 2];
    let file = [&bytes[..], format!("{header:<71}\n").as_bytes(), &values].concat();
    fs::write(root.path().join("9.npy"), file).unwrap();
    let wrong = Folder::open(Split::Train, root.path()).unwrap_err().to_string();
    assert!(wrong.contains("uint16") && wrong.contains("float32"), "{wrong}");
}

#[test]
fn pictures_of_sixteen_bits_are_rounded_unless_told() {
    let root = tempfile::tempdir().unwrap();
    let picture = image::ImageBuffer::from_fn(4, 4, |x, y| image::Luma([(x * 300 + y) as u16]));
    picture.save(root.path().join("a.png")).unwrap();
    let opened = open_splits(DatasetName::Folder, root.path(), &OpenOptions::default()).unwrap();
    assert_eq!(opened.train.sample_type(), SampleType::Uint8);
    assert_eq!(opened.train.image(0).unwrap().pixels()[9..12], [4; 3]);
    let sample_type = Some(SampleType::Uint16);
    let options = OpenOptions { sample_type, ..OpenOptions::default() };
    let opened = open_splits(DatasetName::Folder, root.path(), &options).unwrap();
    assert_eq!(opened.train.values(0).unwrap().pixels()[3..6], [300.0; 3]);
    let measured = opened.train.statistics();
    assert!((measured.mean[0] - 451.5).abs() < 1e-3, "{measured:?}");
}
