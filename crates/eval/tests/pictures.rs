//! Reconstruction pictures, pixel by pixel.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

use bauta_eval::{EvalError, PictureLayout, Reconstructions, mixture_sheet};
use bauta_masking::{Grid, MaskPlan, Strategy};
use tch::{Device, Kind, Tensor};

const LAYOUT: PictureLayout = PictureLayout { columns: 2, min_height: 8, gap: 1 };

fn full(shape: [i64; 4], value: f64) -> Tensor {
    Tensor::full(shape, value, (Kind::Float, Device::Cpu))
}

fn bytes(shape: [i64; 4], value: i64) -> Tensor {
    Tensor::full(shape, value, (Kind::Uint8, Device::Cpu))
}

/// Three images of 4 × 4 pixels, two patches on a side, the first patch visible.
fn example(channels: i64) -> Reconstructions {
    let mask = Tensor::from_slice(&[0.0_f32, 1.0, 1.0, 1.0]).repeat([3, 1]);
    let shape = [3, channels, 4, 4];
    let grid = Grid::image(2, 2).unwrap();
    Reconstructions::new(&bytes(shape, 51), &full(shape, 1.5), &mask, grid).unwrap()
}

#[test]
fn visible_patches_are_pasted_and_hidden_ones_are_grey() {
    let example = example(1);
    let row = |images: Tensor| Vec::<f32>::try_from(images.get(2).get(0).get(1)).unwrap();
    assert_eq!(row(example.masked()), [0.2, 0.2, 0.5, 0.5]);
    assert_eq!(row(example.pasted()), [0.2, 0.2, 1.5, 1.5]);
}

#[test]
fn a_sheet_holds_triples_in_rows() {
    for channels in [1, 3] {
        let picture = example(channels).paint(&LAYOUT);
        // Two groups of three panels of 8 pixels, 9 apart, 30 apart; two rows 10 apart.
        assert_eq!(picture.dimensions(), (2 * 30, 2 * 10 + 2));
        let at = |x, y| picture.image().get_pixel(x, y).0;
        let origin = 2;
        for (x, expected) in [(0, 51), (9, 51), (13, 128), (18, 51), (22, 255), (30, 51)] {
            assert_eq!(at(origin + x, origin), [expected; 3], "x = {x}");
        }
        assert_eq!(at(origin + 8, origin), [255; 3], "the gap is white");
        assert_eq!(at(origin, origin + 10), [51; 3], "the third image begins the second row");
        assert_eq!(at(origin + 30, origin + 10), [255; 3], "nobody stands beside it");
    }
}

#[test]
fn the_file_is_a_whole_png_and_nothing_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reconstructions.png");
    let picture = example(3).paint(&LAYOUT);
    picture.write_png(&path).unwrap();
    picture.write_png(&path).unwrap();
    assert_eq!(image::open(&path).unwrap().into_rgb8(), *picture.image());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("missing/reconstructions.png");
    let refused = picture.write_png(&nowhere).unwrap_err();
    assert!(matches!(refused, EvalError::Write { .. }), "{refused}");
    // A folder in the way: the rename fails and the temporary file is removed.
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    assert!(picture.write_png(&occupied).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn drawn_plans_fit() {
    let grid = Grid::of_image(32, 48, 8).unwrap();
    let strategy = Strategy::Random.build(grid, 0.75).unwrap();
    let plan = MaskPlan::draw(&*strategy, 0, 0, &[0, 1]).unwrap();
    let mask = Tensor::from_slice(&plan.mask()).view([2, -1]);
    let shape = [2, 3, 32, 48];
    let example = Reconstructions::new(&bytes(shape, 0), &full(shape, 0.0), &mask, grid).unwrap();
    let grey = example.masked().mean(Kind::Double).double_value(&[]);
    assert!((grey - 0.5 * 0.75).abs() < 1e-6, "{grey}");
    assert_eq!(example.paint(&PictureLayout::default()).dimensions().1, 96 + 4 * 3);
}

#[test]
fn hostile_input_is_refused() {
    let grid = Grid::image(2, 2).unwrap();
    let mask = || Tensor::ones([1, 4], (Kind::Float, Device::Cpu));
    let image = |shape: [i64; 4]| full(shape, 0.5);
    let pixels = |shape: [i64; 4]| bytes(shape, 128);
    let refuse = |original: &Tensor, predicted: &Tensor, mask: &Tensor, grid| {
        Reconstructions::new(original, predicted, mask, grid).unwrap_err()
    };
    let good = image([1, 3, 4, 4]);
    let original = pixels([1, 3, 4, 4]);
    for shape in [[1, 2, 4, 4], [1, 3, 5, 4], [1, 3, 4, 5], [0, 3, 4, 4], [1, 3, 0, 4]] {
        let error = refuse(&pixels(shape), &image(shape), &mask(), grid);
        assert!(matches!(error, EvalError::Shape { .. }), "{shape:?}");
    }
    assert!(matches!(
        refuse(&original, &image([1, 1, 4, 4]), &mask(), grid),
        EvalError::Shape { what: "predicted images", .. }
    ));
    let clip = Grid::new(2, 2, 2).unwrap();
    for (mask, grid) in
        [(mask().repeat([1, 2]), grid), (mask().repeat([2, 1]), grid), (mask(), clip)]
    {
        let error = refuse(&original, &good, &mask, grid);
        assert!(matches!(error, EvalError::Shape { what: "mask", .. }), "{error}");
    }
    let error = refuse(&good, &good, &mask(), grid);
    assert!(matches!(error, EvalError::Kind { what: "original images", .. }), "{error}");
    let error = refuse(&original, &image([1, 3, 4, 4]).log().log(), &mask(), grid);
    assert!(matches!(error, EvalError::NotFinite { what: "predicted images", .. }), "{error}");
}

#[test]
fn a_mixture_stands_before_what_became_of_its_images() {
    let mask = Tensor::from_slice(&[0.0_f32, 1.0, 1.0, 1.0]).repeat([3, 1]);
    let shape = [3, 1, 4, 4];
    let sources = [&bytes(shape, 200), &bytes(shape, 100)];
    let predicted = [full(shape, 0.4), full(shape, 0.8)];
    let grid = Grid::image(2, 2).unwrap();
    let paint = |share, predicted: &[Tensor]| {
        mixture_sheet(sources, share, predicted, &mask, grid, &LAYOUT).unwrap()
    };
    let both = paint(0.25, &predicted);
    // Panels of 8 pixels, 9 apart: the visible patches, the mixture, and for each image,
    // subordinate first, the true image and its reconstruction.
    let row = |picture: &bauta_eval::Picture| {
        [0, 1, 2, 3, 4, 5].map(|panel| picture.image().get_pixel(2 + 9 * panel + 5, 2 + 5).0[0])
    };
    assert_eq!(row(&both), [128, 125, 200, 102, 100, 204]);
    assert_eq!(row(&paint(0.75, &predicted))[2..], [100, 102, 200, 204]);
    assert!(both.dimensions().0 > paint(0.25, &predicted[..1]).dimensions().0);
    let misfit = [full([2, 1, 4, 4], 0.4)];
    assert!(mixture_sheet(sources, 0.25, &misfit, &mask, grid, &LAYOUT).is_err());
}
