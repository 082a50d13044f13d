//! Comparison with numbers from the released code: a forward pass and parameter counts (JAX, f32).

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;

use bauta_backbones::{Parameters, TokenIndices};
use bauta_masking::{Grid, MaskPlan, WordMask, WordPlan};
use bauta_multimodal::{
    ImageTokens, PairAutoencoder, PairConfig, TextTokens, WordIndices, from_released,
    released_name, to_released,
};
use tch::{Device, Kind, Tensor};

const TOLERANCE: f64 = 2e-5;

fn config() -> PairConfig {
    let grid = Grid::image(4, 4).unwrap();
    let config = PairConfig::new(grid, 12, 16).with_text(11, 8).with_decoder(8, 1, 2);
    PairConfig { depth: 2, heads: 2, ..config }
}

/// Weights in the release's layout: w_i = 0.2·(((7919·i + 13) mod 101) − 50)/50, plus 1 for scales.
fn released(parameters: &Parameters) -> HashMap<String, Tensor> {
    let tensor = |parameter: &bauta_backbones::Parameter| {
        let (name, transposed) = released_name(&parameter.name);
        let mut shape = parameter.tensor.size();
        if transposed {
            shape.reverse();
        }
        let count = shape.iter().product::<i64>();
        let offset = if name.ends_with("scale") { 1.0 } else { 0.0 };
        let value = |i: i64| 0.2 * (((7919 * i + 13) % 101) - 50) as f64 / 50.0 + offset;
        let values: Vec<f32> = (0..count).map(|i| value(i) as f32).collect();
        (name, Tensor::from_slice(&values).view(shape.as_slice()))
    };
    parameters.iter().map(tensor).collect()
}

fn model() -> (Parameters, PairAutoencoder) {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let model = PairAutoencoder::new(parameters.root(), &config()).unwrap();
    let released = released(&parameters);
    assert_eq!(released.len(), parameters.iter().count(), "each has a name of its own");
    let names: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
    let own = from_released(names.iter().map(String::as_str), &released);
    parameters.assign(&own).unwrap();
    (parameters, model)
}

struct Input {
    patches: Tensor,
    ids: Tensor,
    images: TokenIndices,
    words: WordIndices,
    whole: WordIndices,
    hidden: Vec<bool>,
}

fn input() -> Input {
    let patches: Vec<f32> = (0..2 * 16 * 12).map(|i| (0.1 * f64::from(i)).sin() as f32).collect();
    let ids = [1_i64, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 3, 5, 0, 0, 0];
    let eligible: Vec<bool> = (0..16).map(|place| place < 13).collect();
    let noise = |step: f64, count: usize| -> Vec<f32> {
        (1..=count).map(|i| (step * i as f64).fract() as f32).collect()
    };
    let image_noise = noise(0.618_034, 16);
    let both = [image_noise.clone(), image_noise].concat();
    let plan = MaskPlan::from_noise(&both, 2, 0.75).unwrap();
    assert_eq!(plan.visible()[..4], [12, 4, 9, 1]);
    let mask = WordMask::new(0.75).unwrap();
    let words = WordPlan::from_noise(mask, &noise(0.754_878, 8), &eligible, 2).unwrap();
    assert_eq!(words.visible()[..2], [3, 7]);
    Input {
        patches: Tensor::from_slice(&patches).view([2, 16, 12]),
        ids: Tensor::from_slice(&ids).view([2, 8]),
        images: TokenIndices::new(&plan, Device::Cpu),
        hidden: words.masked().to_vec(),
        words: WordIndices::new(&words, Device::Cpu),
        whole: WordIndices::new(&WordPlan::whole(&eligible, 2).unwrap(), Device::Cpu),
    }
}

fn near(found: &Tensor, wanted: &[f64]) {
    let found: Vec<f64> = Vec::try_from(found.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < TOLERANCE, "{found} is not {wanted}");
    }
}

/// The mean squared error over the masked patches, and over all patches.
fn image_losses(found: &Tensor, input: &Input) -> [Tensor; 2] {
    let of_patches = (found - &input.patches).square().mean_dim([2].as_slice(), false, None);
    let mask = input.images.mask();
    [(&of_patches * &mask).sum(None) / mask.sum(None), of_patches.mean(None)]
}

/// Mean over the texts of each text's mean cross-entropy at its masked words.
fn text_loss(logits: &Tensor, input: &Input) -> Tensor {
    let logs = logits.log_softmax(-1, Kind::Float);
    let of_words = -logs.gather(2, &input.ids.unsqueeze(2), false).squeeze_dim(2);
    let hidden = Tensor::from_slice(&input.hidden).view([2, 8]).to_kind(Kind::Float);
    let sums = (of_words * &hidden).sum_dim_intlist([1].as_slice(), false, None);
    (sums / hidden.sum_dim_intlist([1].as_slice(), false, None)).mean(None)
}

#[test]
fn the_forward_pass_is_the_references() {
    let (_parameters, model) = model();
    let input = input();
    let whole = ImageTokens { patches: &input.patches, indices: None };
    let text = TextTokens { ids: &input.ids, words: &input.whole };
    let latent = model.encode(Some(whole), Some(text)).unwrap();
    let rep = latent.tokens();
    assert_eq!(rep.size(), [2, 25, 16]);
    let row = |sample: i64, token: i64, count| rep.get(sample).get(token).narrow(0, 0, count);
    near(&row(0, 0, 4), &[-1.335_862, 0.711_905, 2.251_997, -0.517_605]);
    near(&row(1, 0, 4), &[-1.331_490, 0.735_464, 2.279_181, -0.483_606]);
    near(&row(1, 20, 3), &[-1.153_660, 0.166_809, 2.142_102]);
    // The reference computes values at padding too, which are included in its sums.
    let sum = rep.sum(None).double_value(&[]);
    assert!((sum - 70.621_11).abs() < 2e-3, "{sum}");
    let squares = rep.square().sum(None).double_value(&[]);
    assert!((squares - 990.749_88).abs() < 2e-3, "{squares}");

    let image = ImageTokens { patches: &input.patches, indices: Some(&input.images) };
    let text = TextTokens { ids: &input.ids, words: &input.words };
    let mask = input.images.mask();
    near(&mask.get(0), &[1., 0., 1., 1., 0., 1., 1., 1., 1., 0., 1., 1., 0., 1., 1., 1.]);
    assert_eq!(input.hidden[..8], [true, true, true, false, true, true, true, false]);
    let latent = model.encode(Some(image), Some(text)).unwrap();
    assert_eq!(latent.tokens().size(), [2, 1 + 4 + 2, 16]);
    let decoded = model.decode(&latent).unwrap();
    let pixels = model.pixels(decoded.image().unwrap());
    let logits = model.words(decoded.text().unwrap());
    near(&pixels.get(0).get(0).narrow(0, 0, 3), &[0.219_431, -0.222_482, -0.311_756]);
    near(&logits.get(1).get(2).narrow(0, 0, 3), &[-0.190_181, 0.021_251, -0.027_838]);
    let [masked, all] = image_losses(&pixels, &input);
    near(&masked, &[0.577_544_6]);
    near(&all, &[0.598_613_0]);
    let words = text_loss(&logits, &input);
    near(&words, &[2.346_859_5]);
    near(&(masked + words * 0.5), &[1.750_974_4]);

    let decoded = model.decode(&model.encode(None, Some(text)).unwrap()).unwrap();
    assert!(decoded.image().is_none());
    near(&text_loss(&model.words(decoded.text().unwrap()), &input), &[2.327_135_6]);
    let decoded = model.decode(&model.encode(Some(image), None).unwrap()).unwrap();
    near(&image_losses(&model.pixels(decoded.image().unwrap()), &input)[0], &[0.577_226_5]);
    assert!(decoded.text().is_none());
}

#[test]
fn texts_of_padding_alone_change_nothing() {
    let (_parameters, model) = model();
    let input = input();
    let image = ImageTokens { patches: &input.patches, indices: Some(&input.images) };
    let mask = WordMask::new(0.75).unwrap();
    let noise: Vec<f32> = (0..8).map(|i| ((i * 5) % 8) as f32).collect();
    let plan = WordPlan::from_noise(mask, &noise, &[false; 16], 2).unwrap();
    let words = WordIndices::new(&plan, Device::Cpu);
    let text = TextTokens { ids: &input.ids, words: &words };
    let padded = model.decode(&model.encode(Some(image), Some(text)).unwrap()).unwrap();
    let absent = model.decode(&model.encode(Some(image), None).unwrap()).unwrap();
    assert!(padded.text().is_none());
    let [padded, absent] = [&padded, &absent].map(|decoded| model.pixels(decoded.image().unwrap()));
    assert_eq!(padded, absent);
    near(&image_losses(&padded, &input)[0], &[0.577_226_5]);
    assert_eq!(plan.hidden().0.len(), 0, "nothing is predicted of them");
}

#[test]
fn parameters_are_as_many_as_the_references() {
    let count = |config: &PairConfig| {
        let mut parameters = Parameters::sketch();
        PairAutoencoder::new(parameters.root(), config).unwrap();
        parameters.count()
    };
    let grid = Grid::image(16, 16).unwrap();
    for (dim, depth, heads, pairs, images) in [
        (384, 12, 6, 74_782_266, 47_402_624),
        (768, 12, 12, 150_757_434, 111_656_960),
        (1024, 24, 16, 376_155_194, 329_240_832),
        (1280, 32, 16, 711_666_746, 656_938_496),
    ] {
        let config = PairConfig { depth, heads, ..PairConfig::new(grid, 768, dim) };
        assert_eq!(count(&config), images, "{dim}");
        assert_eq!(count(&config.with_text(30_522, 64)), pairs, "{dim}");
    }
}

#[test]
fn released_weights_come_back_as_they_were() {
    let (parameters, _model) = model();
    let released = released(&parameters);
    let own: Vec<(&str, &Tensor)> =
        parameters.iter().map(|parameter| (&*parameter.name, &parameter.tensor)).collect();
    assert_eq!(to_released(own), released);
    // The image-only model's weights are a subset of those of pairs.
    let mut images = Parameters::new(1, Device::Cpu);
    let config = PairConfig { text: None, ..config() };
    PairAutoencoder::new(images.root(), &config).unwrap();
    let names: Vec<String> = images.iter().map(|p| p.name.clone()).collect();
    let found = from_released(names.iter().map(String::as_str), &released);
    assert_eq!(found.len(), names.len());
}
