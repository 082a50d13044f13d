//! Properties of mixtures and their losses for any weights, and a small overfit.

use bauta_backbones::{
    DisentanglingDecoder, Encode, MaeDecoder, MaeDecoderConfig, Parameters, VisionTransformer,
    VitConfig, mae_weights_for_branches,
};
use bauta_libtorch::integers;
use bauta_masking::{Grid, MaskPlan};
use bauta_streams::{Purpose, StreamKey};
use proptest::prelude::*;
use tch::{Device, Kind};

use super::*;
use crate::patchify;
use crate::tests::{normal, numbered};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn plan(samples: usize, tokens: usize, ratio: f64, seed: usize) -> TokenIndices {
    let noise = (0..samples * tokens).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32);
    let noise: Vec<f32> = noise.collect();
    TokenIndices::new(&MaskPlan::from_noise(&noise, samples, ratio).unwrap(), Device::Cpu)
}

/// A small i-MAE with both branches.
struct Case {
    encoder: VisionTransformer,
    decoder: DisentanglingDecoder,
    parameters: Parameters,
    target: PixelTarget,
}

impl Case {
    fn new(side: usize, patch: usize, dim: usize) -> Self {
        let config = VitConfig::new(side, patch, dim, 2, 4);
        let mut parameters = Parameters::new(1, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let decoder = MaeDecoderConfig::new(dim, dim, 1, 4, config.patch_values());
        let grid = encoder.grid();
        let decoder = DisentanglingDecoder::double(parameters.root(), &decoder, grid).unwrap();
        Self { encoder, decoder, parameters, target: PixelTarget::raw(grid, 3) }
    }

    /// The sum of the two-way image loss and the latent loss, with latent targets that depend on
    /// the source images alone.
    fn loss(&self, first: &Tensor, second: &Tensor, lambda: f64, indices: &TokenIndices) -> Tensor {
        let sources = by_weight(first, second, lambda);
        let mixture = mix(first, second, lambda).unwrap();
        let latent = self.encoder.encode(&mixture, Encode::visible(indices)).unwrap();
        let latents = self.decoder.disentangle(&latent);
        let predictions = self.decoder.predict_masked(&latents, indices).unwrap();
        let taught = sources.map(|source| {
            let latent = self.encoder.encode(source, Encode::visible(indices)).unwrap();
            self.decoder.disentangle(&latent)[0].detach()
        });
        two_way_loss(&self.target, &predictions, sources, indices).unwrap()
            + latent_loss(&latents, &taught).unwrap()
    }

    fn gradients(&self, loss: &Tensor) -> Vec<Tensor> {
        let parameters: Vec<Tensor> =
            self.parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
        Tensor::run_backward(&[loss], &parameters, false, false)
    }
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn swapping_the_images_and_their_shares_changes_nothing(
        // Eighths have exact complements; one half is a tie.
        eighths in (0_u8..9).prop_filter("a tie", |&eighths| eighths != 4), seed in 0_usize..100,
    ) {
        let lambda = f64::from(eighths) / 8.0;
        let case = Case::new(16, 4, 16);
        let images =
            [0, 1].map(|image| numbered("images", 2 * seed as u64 + image, &[3, 3, 16, 16]));
        let indices = plan(3, 16, 0.75, seed);
        let one = case.loss(&images[0], &images[1], lambda, &indices);
        let other = case.loss(&images[1], &images[0], 1.0 - lambda, &indices);
        prop_assert!(largest(&(&one - &other)) < 1e-5);
        for (a, b) in case.gradients(&one).iter().zip(case.gradients(&other)) {
            prop_assert!(largest(&(a - b)) < 1e-5);
        }
    }

    #[test]
    fn constant_errors_cost_their_squares(
        (a, b, c) in (-2.0..2.0_f64, -2.0..2.0_f64, -2.0..2.0_f64),
        ratio in 0.1..0.93_f64, seed in 0_usize..100, lambda in 0.0..=1.0_f64,
    ) {
        let grid = Grid::image(4, 4).unwrap();
        let target = PixelTarget::raw(grid, 3);
        let indices = plan(2, 16, ratio, seed);
        let draws = [0, 1].map(|image| 2 * seed as u64 + image);
        let images = draws.map(|draw| numbered("images", draw, &[2, 3, 8, 8]));
        let sources = by_weight(&images[0], &images[1], lambda);
        let masked = sources.map(|source| indices.gather_masked(&patchify(source, grid).unwrap()));
        let predictions = [&masked[0] + a, &masked[1] + b];
        let found = two_way_loss(&target, &predictions, sources, &indices).unwrap();
        prop_assert!((found.double_value(&[]) - (a * a + b * b)).abs() < 1e-4);

        let latents = draws.map(|draw| numbered("latents", draw, &[2, 5, 8]));
        let found = latent_loss(&[&latents[0] + c, latents[1].copy()], &latents).unwrap();
        prop_assert!((found.double_value(&[]) - c * c).abs() < 1e-4);
    }
}

#[test]
fn at_the_ends_a_mixture_is_one_of_its_images() {
    let case = Case::new(16, 4, 16);
    let [first, second] = ["first", "second"].map(|name| normal(name, &[2, 3, 16, 16]));
    let indices = plan(2, 16, 0.75, 0);
    for (lambda, image) in [(0.0, &second), (1.0, &first)] {
        let mixture = mix(&first, &second, lambda).unwrap();
        assert_eq!(&mixture, image);
        let [_, dominant] = by_weight(&first, &second, lambda);
        assert_eq!(dominant, image);
        let [mixed, plain] = [&mixture, image]
            .map(|images| case.encoder.encode(images, Encode::visible(&indices)).unwrap());
        assert_eq!(mixed, plain, "bit for bit");
    }
    assert_eq!(by_weight(1, 2, 0.5), [1, 2], "a tie makes the first subordinate");
    assert!(mix(&first, &second.narrow(0, 0, 1), 0.5).is_err());
}

/// With λ = 1, a single branch with MAE's weights predicts the same as MAE.
#[test]
fn a_pure_image_goes_through_as_through_a_masked_autoencoder() {
    let config = VitConfig::new(16, 4, 16, 2, 4);
    let decoder = MaeDecoderConfig::new(16, 8, 1, 4, config.patch_values());
    let mut parameters = [(); 2].map(|()| Parameters::new(5, Device::Cpu));
    let [a, b] = &mut parameters;
    let mae = VisionTransformer::new(a.root(), &config).unwrap();
    let grid = mae.grid();
    let mae_decoder = MaeDecoder::new(a.root(), &decoder, grid).unwrap();
    let own = VisionTransformer::new(b.root(), &config).unwrap();
    let single = DisentanglingDecoder::single(b.root(), &decoder, grid).unwrap();
    let weights = parameters[0].iter().map(|p| (p.name.clone(), p.tensor.shallow_clone()));
    parameters[1].assign(&mae_weights_for_branches(&weights.collect(), 1)).unwrap();

    let [image, other] = ["image", "other"].map(|name| normal(name, &[2, 3, 16, 16]));
    let indices = plan(2, 16, 0.75, 3);
    let mixture = mix(&image, &other, 1.0).unwrap();
    let latent = own.encode(&mixture, Encode::visible(&indices)).unwrap();
    let wanted = mae.encode(&image, Encode::visible(&indices)).unwrap();
    assert!(largest(&(&latent - &wanted)) < 1e-6);
    let predicted = single.predict_all(&single.disentangle(&latent), &indices).unwrap();
    let wanted = mae_decoder.predict_all(&wanted, &indices).unwrap();
    assert!(largest(&(&predicted[0] - wanted)) < 1e-6);
}

#[test]
fn visible_patches_have_no_gradient_and_the_class_token_is_in_the_latent_loss_alone() {
    let grid = Grid::image(4, 4).unwrap();
    let (target, indices) = (PixelTarget::raw(grid, 3), plan(2, 16, 0.5, 1));
    let sources = [0, 1].map(|image| numbered("sources", image, &[2, 3, 8, 8]));
    let all =
        [0, 1].map(|branch| numbered("predictions", branch, &[2, 16, 12]).set_requires_grad(true));
    let masked: Vec<Tensor> = all.iter().map(|x| indices.gather_masked(x)).collect();
    two_way_loss(&target, &masked, &sources, &indices).unwrap().backward();
    for predicted in &all {
        let gradient = predicted.grad().abs().sum_dim_intlist([2].as_slice(), false, None);
        assert_eq!(gradient.gt(0.0).to_kind(Kind::Float), indices.mask());
    }
    // Predictions have no class token; the latents' class token enters the latent loss.
    assert_eq!(masked[0].size(), [2, 8, 12]);
    let latent = normal("latent", &[2, 9, 8]).set_requires_grad(true);
    let taught = latent.detach() + 1.0;
    latent_loss(&[latent.shallow_clone()], &[taught]).unwrap().backward();
    let of_class = latent.grad().select(1, 0).abs().min().double_value(&[]);
    assert!(of_class > 0.0);
    assert_eq!(latent_loss(&[], &[]).unwrap_err(), TargetError::NoBranch);
}

#[test]
fn the_two_way_loss_is_the_sum_of_the_branches_own() {
    let grid = Grid::image(4, 4).unwrap();
    let (target, indices) = (PixelTarget::normalized(grid, 3), plan(2, 16, 0.5, 1));
    let sources = [0, 1].map(|image| numbered("sources", image, &[2, 3, 8, 8]));
    let predictions = [0, 1].map(|branch| numbered("predictions", branch, &[2, 8, 12]));
    let each = image_losses(&target, &predictions, &sources, &indices).unwrap();
    assert_eq!(each.len(), 2);
    for (branch, found) in each.iter().enumerate() {
        let wanted = target.masked(&sources[branch], &indices).unwrap();
        assert_eq!(*found, target.loss(&predictions[branch], &wanted).unwrap());
    }
    assert_ne!(each[0], each[1]);
    let sum = two_way_loss(&target, &predictions, &sources, &indices).unwrap();
    assert_eq!(sum, &each[0] + &each[1]);
    let none = two_way_loss(&target, &[], &sources, &indices).unwrap_err();
    assert_eq!(none, TargetError::NoBranch);
}

#[test]
fn pixels_are_mixed_as_their_numbers_are() {
    let pixels = [0, 1].map(|image| {
        let key = StreamKey { seed: 0, purpose: Purpose::named("pixels"), epoch: 0, sample: image };
        integers(&[2, 3, 4, 4], 256, &mut key.stream()).to_kind(Kind::Uint8)
    });
    let numbers = pixels.each_ref().map(|pixels| pixels.to_kind(Kind::Float));
    let mixture = mix(&pixels[0], &pixels[1], 0.3).unwrap();
    assert_eq!(mixture.kind(), Kind::Float);
    assert_eq!(mixture, mix(&numbers[0], &numbers[1], 0.3).unwrap());
    let next = next_in_batch(&pixels[0]);
    assert_eq!((next.get(0), next.get(1)), (pixels[0].get(1), pixels[0].get(0)));
}

/// A minimal Adam without weight decay.
struct Adam {
    parameters: Vec<Tensor>,
    moments: Vec<[Tensor; 2]>,
}

impl Adam {
    fn new(parameters: &Parameters) -> Self {
        let parameters: Vec<Tensor> =
            parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
        let moments = parameters.iter().map(|p| [(); 2].map(|()| p.zeros_like())).collect();
        Self { parameters, moments }
    }

    fn step(&mut self, loss: &Tensor, lr: f64) {
        let gradients = Tensor::run_backward(&[loss], &self.parameters, false, false);
        let _no_grad = tch::no_grad_guard();
        for ((parameter, gradient), [mean, square]) in
            self.parameters.iter_mut().zip(&gradients).zip(&mut self.moments)
        {
            // The second of two tied heads does not enter the loss.
            if gradient.defined() {
                *mean = &*mean * 0.9 + gradient * 0.1;
                *square = &*square * 0.99 + gradient.square() * 0.01;
                let _ = parameter.g_sub_(&(&*mean * lr / (square.sqrt() + 1e-8)));
            }
        }
    }
}

/// With eight pairs, λ = 0.3 and half of the tokens masked, two branches learn their images;
/// tied heads cannot, because the best single prediction for two images is their mean.
#[test]
fn two_heads_overfit_what_one_cannot() {
    const STEPS: usize = 600;
    // For products this small, synchronising threads takes longer than computing.
    tch::set_num_threads(1);
    let plain = |case: &Case, indices: &TokenIndices, images: &Tensor| {
        // The loss of predicting each image's mean colour.
        let wanted = case.target.masked(images, indices).unwrap();
        let colour = images.mean_dim([2, 3].as_slice(), false, None).repeat([1, 16]).unsqueeze(1);
        case.target
            .loss(&colour.expand_as(&wanted).contiguous(), &wanted)
            .unwrap()
            .double_value(&[])
    };
    let train = |tied: bool| {
        let case = Case::new(16, 4, 48);
        // Smooth images, so that masked patches can be predicted from visible ones.
        let wave = |phase: f64| {
            let axis = Tensor::arange(16, CPU) * 0.4 + phase;
            let image = axis.sin().unsqueeze(0) * (axis * 0.7).cos().unsqueeze(1);
            Tensor::stack(&[&image, &(&image * 0.5), &(&image * -1.0)], 0)
        };
        let batch = |offset: f64| {
            let images: Vec<Tensor> = (0..8).map(|i| wave(f64::from(i) * 1.3 + offset)).collect();
            Tensor::stack(&images, 0)
        };
        let (first, second) = (batch(0.0), batch(17.0));
        let indices = plan(8, 16, 0.5, 2);
        let mixture = mix(&first, &second, 0.3).unwrap();
        let mut adam = Adam::new(&case.parameters);
        let losses = || {
            let latent = case.encoder.encode(&mixture, Encode::visible(&indices)).unwrap();
            let mut latents = case.decoder.disentangle(&latent);
            if tied {
                latents[1] = latents[0].shallow_clone();
            }
            let predictions = case.decoder.predict_masked(&latents, &indices).unwrap();
            let losses = image_losses(&case.target, &predictions, [&first, &second], &indices);
            <[Tensor; 2]>::try_from(losses.unwrap()).unwrap()
        };
        for step in 0..STEPS {
            let [subordinate, dominant] = losses();
            adam.step(&(subordinate + dominant), 3e-3 * (1.0 - step as f64 / STEPS as f64));
        }
        let found = losses().map(|loss| loss.double_value(&[]));
        (found, [&first, &second].map(|images| plain(&case, &indices, images)))
    };
    let (apart, plain) = train(false);
    assert!(apart[0] < 0.1 * plain[0] && apart[1] < 0.1 * plain[1], "{apart:?} of {plain:?}");
    let (tied, _) = train(true);
    assert!(tied[0] + tied[1] > 3.0 * (apart[0] + apart[1]), "{tied:?}, apart {apart:?}");
}
