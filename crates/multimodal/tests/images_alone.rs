//! With every caption dropped, M3AE is step for step a masked autoencoder of images.
//!
//! Type vectors are left out: all patches share one, which a masked autoencoder learns in the bias
//! of its patch embedding, and two summands with the same gradient move twice as far.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::{
    Activation, Encode, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices, VisionTransformer,
    VitConfig,
};
use bauta_libtorch::normal;
use bauta_masking::{MaskPlan, RandomMask, WordPlan};
use bauta_multimodal::{ImageTokens, PairAutoencoder, PairConfig, TextTokens, WordIndices};
use bauta_streams::{Purpose, StreamKey};
use tch::{Device, Kind, Tensor};

const BATCH: u64 = 6;
const TOKENS: usize = 5;
/// Height, width and patch size in pixels.
const IMAGE: [i64; 3] = [8, 12, 4];
const STEPS: u64 = 20;
const RATE: f64 = 0.1;

fn drawn(name: &str, step: u64, shape: &[i64]) -> Tensor {
    let purpose = Purpose::named(name);
    normal(shape, 1.0, &mut StreamKey { seed: 0, purpose, epoch: step, sample: 0 }.stream())
}

/// The masked autoencoder's name for a parameter of the image part.
fn name_in_mae(name: &str) -> String {
    let pairs = [
        ("encoder.", ""),
        ("decoder.", "decoder_"),
        ("decoder_input_projection", "decoder_embed"),
        ("decoder_image_output", "decoder_pred"),
        ("image_mask_embedding", "mask_token"),
        ("image_embedding", "patch_embed.proj"),
    ];
    let pair = pairs.into_iter().find(|(theirs, _)| name.starts_with(theirs));
    pair.map_or(name.to_owned(), |(theirs, ours)| name.replacen(theirs, ours, 1))
}

/// Makes a gradient step and returns the loss. Parameters without a gradient stay unchanged.
fn step(parameters: &Parameters, loss: &Tensor) -> f64 {
    let trained: Vec<Tensor> = parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
    let reached = Tensor::run_backward(&[loss], &trained, false, false);
    tch::no_grad(|| {
        for (parameter, gradient) in trained.iter().zip(&reached) {
            if gradient.defined() {
                let _ = parameter.shallow_clone().g_sub_(&(gradient * RATE));
            }
        }
    });
    loss.double_value(&[])
}

#[test]
fn training_without_captions_is_that_of_a_masked_autoencoder() {
    let [height, width, patch] = IMAGE;
    let vit = VitConfig {
        image_height: height as usize,
        image_width: width as usize,
        activation: Activation::GeluTanh,
        ..VitConfig::new(0, patch as usize, 16, 2, 2)
    };
    let grid = vit.grid().unwrap();
    let config = PairConfig::new(grid, vit.patch_values(), vit.dim).with_decoder(8, 1, 2);
    let config = PairConfig { depth: 2, heads: 2, type_vectors: false, ..config };
    let config = config.with_text(17, TOKENS);
    let mut of_pairs = Parameters::new(1, Device::Cpu);
    let pairs = PairAutoencoder::new(of_pairs.root(), &config).unwrap();

    let mut of_images = Parameters::new(2, Device::Cpu);
    let encoder = VisionTransformer::new(of_images.root(), &vit).unwrap();
    let decoder = MaeDecoderConfig {
        activation: Activation::GeluTanh,
        ..MaeDecoderConfig::new(16, 8, 1, 2, vit.patch_values())
    };
    let decoder = MaeDecoder::new(of_images.root(), &decoder, grid).unwrap();
    let image_part = |name: &str| !name.contains("text");
    for parameter in of_pairs.trainable().filter(|p| image_part(&p.name)) {
        let same = &of_images.get(&name_in_mae(&parameter.name)).unwrap().tensor;
        tch::no_grad(|| same.shallow_clone().copy_(&parameter.tensor.view_as(same)));
    }
    let of_images_alone = of_pairs.trainable().filter(|p| image_part(&p.name)).count();
    assert_eq!(of_images_alone, of_images.trainable().count(), "each has its counterpart");
    let words_before: Vec<Tensor> = of_pairs
        .trainable()
        .filter(|p| !image_part(&p.name))
        .map(|p| p.tensor.detach().copy())
        .collect();

    let strategy = RandomMask::new(grid, 0.5).unwrap();
    let samples: Vec<u64> = (0..BATCH).collect();
    let blank = WordPlan::whole(&[false; BATCH as usize * TOKENS], BATCH as usize).unwrap();
    let words = WordIndices::new(&blank, Device::Cpu);
    let ids = Tensor::zeros([BATCH as i64, TOKENS as i64], (Kind::Int64, Device::Cpu));
    let (mut first, mut last) = (0.0, 0.0);
    for at in 0..STEPS {
        let images = drawn("images", at % 4, &[BATCH as i64, 3, height, width]);
        let patches = images
            .view([BATCH as i64, 3, height / patch, patch, width / patch, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([BATCH as i64, grid.tokens() as i64, -1]);
        let plan = MaskPlan::draw(&strategy, 0, at, &samples).unwrap();
        let indices = TokenIndices::new(&plan, Device::Cpu);
        let hidden = indices.gather_masked(&patches);
        let loss = |predicted: &Tensor| (predicted - &hidden).square().mean(Kind::Float);

        let image = ImageTokens { patches: &patches, indices: Some(&indices) };
        let latent = pairs.encode(Some(image), Some(TextTokens { ids: &ids, words: &words }));
        let decoded = pairs.decode(&latent.unwrap()).unwrap();
        let found = loss(&pairs.pixels(&indices.gather_masked(decoded.image().unwrap())));
        let latent = encoder.encode(&images, Encode::visible(&indices)).unwrap();
        let wanted = loss(&decoder.predict_masked(&latent, &indices).unwrap());

        let [found, wanted] = [step(&of_pairs, &found), step(&of_images, &wanted)];
        assert!((found / wanted - 1.0).abs() < 1e-5, "step {at}: {found} and {wanted}");
        (first, last) = (if at == 0 { found } else { first }, found);
    }
    assert!(last < 0.9 * first, "it learns: {first} to {last}");
    let words_after = of_pairs.trainable().filter(|p| !image_part(&p.name));
    assert!(words_after.map(|p| &p.tensor).eq(&words_before), "the words' part stays");
}
