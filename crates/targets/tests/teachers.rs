//! Properties of teachers and their targets that hold for any network.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::{
    Encode, ImageEncoder, ImageNormalization, MaeDecoder, MaeDecoderConfig, Parameters,
    TokenIndices, VisionTransformer, VitConfig, patch_tokens,
};
use bauta_libtorch::normal;
use bauta_masking::{Grid, MaskPlan, RandomMask};
use bauta_streams::{Purpose, StreamKey};
use bauta_targets::{
    EncoderTeacher, FeatureLoss, FeatureTarget, Normalization, PixelTarget, PixelTeacher,
    TargetError, Teacher,
};
use tch::{Device, Kind, Tensor};

const STATISTICS: ([f32; 3], [f32; 3]) = ([0.49, 0.48, 0.45], [0.25, 0.24, 0.26]);

fn normalization() -> ImageNormalization {
    ImageNormalization::new(&STATISTICS.0, &STATISTICS.1, Device::Cpu).unwrap()
}

fn config() -> VitConfig {
    VitConfig { image_height: 16, image_width: 24, ..VitConfig::new(0, 4, 32, 2, 2) }
}

fn pixels(seed: u8) -> Tensor {
    let values: Vec<u8> = (0..2 * 3 * 16 * 24_usize)
        .map(|i| ((i * 37 + usize::from(seed) * 101) % 256) as u8 ^ (i / 7 % 256) as u8)
        .collect();
    Tensor::from_slice(&values).view([2, 3, 16, 24])
}

fn plan(grid: Grid) -> MaskPlan {
    let strategy = RandomMask::new(grid, 0.75).unwrap();
    MaskPlan::draw(&strategy, 3, 0, &[0, 1]).unwrap()
}

fn vit(seed: u64, config: &VitConfig) -> (Parameters, Box<dyn ImageEncoder>) {
    let mut parameters = Parameters::new(seed, Device::Cpu);
    let encoder = VisionTransformer::new(parameters.root(), config).unwrap();
    (parameters, Box::new(encoder))
}

fn teacher(config: &VitConfig, final_norm: bool) -> EncoderTeacher {
    let grid = config.grid().unwrap();
    EncoderTeacher::new(vit(5, config).1, normalization(), final_norm, grid).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// MAE assembled from the slots of MaskDistill's unified view equals MAE, bit for bit.
#[test]
fn pixels_standardised_under_squares_are_maes_target() {
    let config = config();
    let mut parameters = Parameters::new(0, Device::Cpu);
    let student = VisionTransformer::new(parameters.root(), &config).unwrap();
    let grid = student.grid();
    let decoder = MaeDecoderConfig::new(32, 16, 1, 2, config.patch_values());
    let decoder = MaeDecoder::new(parameters.root(), &decoder, grid).unwrap();
    let indices = TokenIndices::new(&plan(grid), Device::Cpu);
    let images = normalization().normalize(&pixels(1));
    let latent = student.encode(&images, Encode::visible(&indices)).unwrap();
    let prediction = decoder.predict_masked(&latent, &indices).unwrap();

    for (slots, target) in [
        (Normalization::Standardize, PixelTarget::normalized(grid, 3)),
        (Normalization::None, PixelTarget::raw(grid, 3)),
    ] {
        let teacher = Box::new(PixelTeacher::new(grid, 4, normalization()));
        let unified = FeatureTarget::new(teacher, slots, FeatureLoss::Mse);
        let wanted = target.masked(&images, &indices).unwrap();
        let wanted = target.loss(&prediction, &wanted).unwrap();
        let found = unified.masked(&pixels(1), &indices).unwrap();
        let found = unified.loss(&prediction, &found).unwrap();
        assert_eq!(found, wanted, "{slots:?}");
    }
}

#[test]
fn an_encoder_teaches_what_it_gives_for_whole_images() {
    let config = config();
    let (_parameters, encoder) = vit(5, &config);
    let images = normalization().normalize(&pixels(1));
    let raw = teacher(&config, false).features(&pixels(1)).unwrap();
    assert_eq!(raw, encoder.encode(&images, Encode::whole().without_norm()).unwrap());
    let normed = teacher(&config, true).features(&pixels(1)).unwrap();
    assert_eq!(normed, encoder.encode(&images, Encode::whole()).unwrap());
    assert!(distance(&raw, &normed) > 1e-3);
}

#[test]
fn targets_are_the_normalised_features_of_masked_tokens_and_the_class() {
    let config = config();
    let grid = config.grid().unwrap();
    let indices = TokenIndices::new(&plan(grid), Device::Cpu);
    let features = teacher(&config, false).features(&pixels(1)).unwrap();
    let target = FeatureTarget::new(
        Box::new(teacher(&config, false)),
        Normalization::Standardize,
        FeatureLoss::SmoothL1 { beta: 2.0 },
    );
    let all = Normalization::Standardize.apply(&features);
    let masked = indices.gather_masked(&patch_tokens(&all));
    let found = target.masked(&pixels(1), &indices).unwrap();
    // L − K + 1 rows: the class token takes part in dBOT's loss.
    assert_eq!(found.size(), [2, 18 + 1, 32]);
    assert_eq!(found.narrow(1, 0, 1), all.narrow(1, 0, 1));
    assert_eq!(patch_tokens(&found), masked);
}

/// The class token enters the loss where both sides have it; otherwise the loss is that of the
/// masked tokens alone, bit for bit.
#[test]
fn a_class_token_on_one_side_alone_is_left_out() {
    let config = config();
    let grid = config.grid().unwrap();
    let indices = TokenIndices::new(&plan(grid), Device::Cpu);
    let of = |class: bool| -> Box<dyn Teacher> {
        if class {
            Box::new(teacher(&config, false))
        } else {
            Box::new(PixelTeacher::new(grid, 4, normalization()))
        }
    };
    let losses = [FeatureLoss::Mse, FeatureLoss::SmoothL1 { beta: 2.0 }, FeatureLoss::Cosine];
    for (has_class, loss) in [false, true].into_iter().flat_map(|c| losses.map(|loss| (c, loss))) {
        let target = FeatureTarget::new(of(has_class), Normalization::LayerNorm, loss);
        let wanted = target.masked(&pixels(1), &indices).unwrap();
        let [masked, dim] = [18, target.teacher().dim() as i64];
        let key = StreamKey { seed: 0, purpose: Purpose::named("student"), epoch: 0, sample: 0 };
        let both = normal(&[2, 1 + masked, dim], 1.0, &mut key.stream());
        let alone = patch_tokens(&both);
        let of_masked = if has_class { patch_tokens(&wanted) } else { wanted.shallow_clone() };
        let expected = loss.of(&alone.contiguous(), &of_masked.contiguous()).unwrap();
        assert_eq!(target.loss(&alone, &wanted).unwrap(), expected, "{loss:?}");
        let found = target.loss(&both, &wanted).unwrap();
        assert_eq!(found == expected, !has_class, "{loss:?}");
        for rows in [masked - 1, masked + 2] {
            let strange = both.new_zeros([2, rows, dim], (Kind::Float, Device::Cpu));
            assert!(target.loss(&strange, &wanted).is_err(), "{rows} rows");
        }
    }
}

#[test]
fn nothing_flows_into_a_teacher() {
    let config = config();
    let (parameters, encoder) = vit(5, &config);
    let grid = config.grid().unwrap();
    let before: Vec<Tensor> = parameters.iter().map(|p| p.tensor.detach().copy()).collect();
    let teacher = EncoderTeacher::new(encoder, normalization(), false, grid).unwrap();
    let target = FeatureTarget::new(Box::new(teacher), Normalization::LayerNorm, FeatureLoss::Mse);
    let indices = TokenIndices::new(&plan(grid), Device::Cpu);
    let wanted = target.masked(&pixels(1), &indices).unwrap();
    assert!(!wanted.requires_grad());
    let prediction = Tensor::zeros_like(&wanted).set_requires_grad(true);
    target.loss(&prediction, &wanted).unwrap().backward();
    // Every row has a gradient, including the class token's, which is the first.
    let slopes = prediction.grad().abs().amax([0, 2].as_slice(), false);
    assert!(slopes.min().double_value(&[]) > 0.0);
    for (parameter, before) in parameters.iter().zip(before) {
        assert!(!parameter.tensor.grad().defined(), "{}", parameter.name);
        assert_eq!(parameter.tensor, before, "{}", parameter.name);
    }
}

/// dBOT's published teacher of ViT-L and ViT-H has no blocks: each patch's features depend on it
/// alone.
#[test]
fn a_teacher_without_blocks_sees_each_patch_alone() {
    let teacher = teacher(&VitConfig { depth: 0, ..config() }, false);
    let plain = teacher.features(&pixels(1)).unwrap();
    let changed = pixels(1);
    // The patch of row 1, column 2.
    let _ = changed.narrow(2, 4, 4).narrow(3, 8, 4).fill_(9);
    let changed = teacher.features(&changed).unwrap();
    let moved = (plain - changed).abs().amax([2].as_slice(), false).sum_dim_intlist(
        [0].as_slice(),
        false,
        Kind::Float,
    );
    let moved: Vec<bool> =
        Vec::<f32>::try_from(moved).unwrap().iter().map(|&distance| distance > 0.0).collect();
    let wanted: Vec<bool> = (0..25).map(|token| token == 1 + 6 + 2).collect();
    assert_eq!(moved, wanted);
}

#[test]
fn a_teacher_of_a_larger_patch_sees_larger_images() {
    let grid = config().grid().unwrap();
    let large = VitConfig { image_height: 32, image_width: 48, patch_size: 8, ..config() };
    let (_parameters, encoder) = vit(1, &large);
    let teacher = EncoderTeacher::new(encoder, normalization(), false, grid).unwrap();
    assert_eq!(teacher.features(&pixels(1)).unwrap().size(), [2, 25, 32]);
}

#[test]
fn teachers_that_do_not_fit_are_refused_with_both_grids() {
    let (_parameters, encoder) = vit(1, &VitConfig::nano(32, 4));
    let grid = config().grid().unwrap();
    let refused = EncoderTeacher::new(encoder, normalization(), false, grid).unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("8 × 8") && message.contains("4 × 6"), "{message}");

    let (_parameters, encoder) = vit(1, &config());
    let grey = ImageNormalization::new(&[0.5], &[0.25], Device::Cpu).unwrap();
    let refused = EncoderTeacher::new(encoder, grey, false, grid).unwrap_err();
    assert_eq!(refused, TargetError::Channels { teacher: 3, images: 1 });

    let teacher = Box::new(PixelTeacher::new(grid, 4, normalization()));
    let target = FeatureTarget::new(teacher, Normalization::None, FeatureLoss::Mse);
    let other = TokenIndices::new(&plan(Grid::image(3, 3).unwrap()), Device::Cpu);
    assert!(target.masked(&pixels(1), &other).is_err());
}
