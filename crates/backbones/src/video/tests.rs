//! The paper's sizes, the structure of positions, and the effect of changed masked frames.

use bauta_masking::{Grid, MaskPlan};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use super::positions::Positions;
use super::*;
use crate::tests::normal;
use crate::{
    Encode, ImageEncoder, MaeDecoderConfig, ModelError, Parameters, StepCost, TokenIndices,
    VisionTransformer, VitConfig,
};

fn decoder_of(config: &VideoConfig, dim: usize, depth: usize, heads: usize) -> VideoDecoderConfig {
    let outputs = config.vit.patch_values();
    VideoDecoderConfig::new(MaeDecoderConfig::new(config.vit.dim, dim, depth, heads, outputs))
}

fn small() -> VideoConfig {
    let vit = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) };
    VideoConfig::new(4, 2, vit)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn sizes_are_those_of_the_reference() {
    let count = |vit: VitConfig| {
        let config = VideoConfig::new(16, 2, vit);
        let mut parameters = Parameters::sketch();
        let encoder = VideoTransformer::new(parameters.root(), &config).unwrap();
        let of_encoder = parameters.count();
        let decoder = decoder_of(&config, 512, 4, 16);
        VideoDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        (of_encoder, parameters.count() - of_encoder)
    };
    assert_eq!(count(VitConfig::base(224, 16)), (86_394_624, 13_504_256));
    assert_eq!(count(VitConfig::large(224, 16)), (304_096_256, 13_635_328));
    // The "patch 14" of the pre-training file.
    assert_eq!(count(VitConfig::huge(224, 14)).0, 631_527_680);
    assert_eq!(count(VitConfig::base(224, 16)).0 + 400 * 769, 86_702_224);
}

#[test]
fn names_are_those_of_published_files() {
    let config = VideoConfig::new(16, 2, VitConfig::base(224, 16));
    let mut parameters = Parameters::sketch();
    let encoder = VideoTransformer::new(parameters.root(), &config).unwrap();
    VideoDecoder::new(parameters.root(), &decoder_of(&config, 512, 4, 16), encoder.grid()).unwrap();
    for (name, shape) in [
        ("cls_token", &[1, 1, 768][..]),
        ("pos_embed_spatial", &[1, 196, 768]),
        ("pos_embed_temporal", &[1, 8, 768]),
        ("pos_embed_class", &[1, 1, 768]),
        ("patch_embed.proj.weight", &[768, 3, 2, 16, 16]),
        ("decoder_cls_token", &[1, 1, 512]),
        ("decoder_pos_embed_spatial", &[1, 196, 512]),
        ("decoder_pos_embed_temporal", &[1, 8, 512]),
        ("decoder_pos_embed_class", &[1, 1, 512]),
        ("decoder_pred.weight", &[768, 512]),
    ] {
        let parameter = parameters.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(parameter.tensor.size(), shape, "{name}");
        assert!(parameter.trainable, "{name}");
    }
}

#[test]
fn parameters_start_as_the_reference_has_them() {
    let config = VideoConfig::new(4, 2, VitConfig::new(16, 4, 64, 1, 4));
    let mut parameters = Parameters::new(3, Device::Cpu);
    let encoder = VideoTransformer::new(parameters.root(), &config).unwrap();
    VideoDecoder::new(parameters.root(), &decoder_of(&config, 32, 1, 2), encoder.grid()).unwrap();
    let largest = |name: &str| parameters.get(name).unwrap().tensor.abs().max().double_value(&[]);
    assert_eq!(largest("decoder_cls_token"), 0.0);
    // Queries, keys and values are three matrices in the reference: √(6 / 2D), not √(6 / 4D).
    for (name, dim) in
        [("blocks.0.attn.qkv.weight", 64.0), ("decoder_blocks.0.attn.qkv.weight", 32.0)]
    {
        let bound = (6.0_f64 / (2.0 * dim)).sqrt();
        assert!(largest(name) <= bound && largest(name) > 0.98 * bound, "{name}");
    }
    let kernel = (6.0_f64 / (64.0 + 96.0)).sqrt();
    assert!(largest("patch_embed.proj.weight") <= kernel);
    assert!(largest("pos_embed_temporal") > 0.02 && largest("pos_embed_temporal") < 0.1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Space and time do not mix, and rows are not swapped.
    #[test]
    fn separable_positions_are_a_sum_of_space_and_time(
        (time, height, width) in (1_usize..5, 1_usize..5, 1_usize..5),
        class: bool,
    ) {
        let grid = Grid::new(time, height, width).unwrap();
        let places = height * width;
        let mut parameters = Parameters::new(1, Device::Cpu);
        let kind = VideoPositions::Separable;
        let positions = Positions::new(&mut parameters.root(), "", kind, grid, 8, class);
        prop_assert_eq!(parameters.count(), (places + time + usize::from(class)) * 8);
        let table = positions.patches();
        let spatial = &parameters.get("pos_embed_spatial").unwrap().tensor;
        let temporal = &parameters.get("pos_embed_temporal").unwrap().tensor;
        for step in 0..time {
            for place in 0..places {
                let row = table.get((step * places + place) as i64);
                let wanted = spatial.get(0).get(place as i64) + temporal.get(0).get(step as i64);
                prop_assert_eq!(row, wanted);
            }
        }
    }

    /// Deflating an inflated kernel and position table gives the original.
    #[test]
    fn deflation_undoes_inflation(frames in 1_usize..5, side in 1_usize..4) {
        let kernel = normal("kernel", &[6, 3, 4, 4]);
        let rows = (1 + side * side) as i64;
        let positions = normal("positions", &[1, rows, 6]);
        let image = [("patch_embed.proj.weight", &kernel), ("pos_embed", &positions)]
            .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
            .into();
        let clip = inflate_weights(&image, 3, frames).unwrap();
        let back = deflate_weights(&clip).unwrap();
        prop_assert!(distance(&back["patch_embed.proj.weight"], &kernel) < 1e-6);
        prop_assert_eq!(&back["pos_embed"], &positions);
        if frames.is_power_of_two() {
            prop_assert_eq!(&back["patch_embed.proj.weight"], &kernel);
        }
    }
}

/// An image encoder gives the same outputs for an image as its inflation for a clip of that image.
#[test]
fn an_inflated_encoder_sees_a_static_clip_as_the_image() {
    let config = small();
    let mut of_image = Parameters::new(5, Device::Cpu);
    let image_encoder = VisionTransformer::new(of_image.root(), &config.vit).unwrap();
    let tensors = of_image.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let single = VideoConfig { frames: 2, ..config };
    let mut of_clip = Parameters::new(6, Device::Cpu);
    let encoder = VideoTransformer::new(of_clip.root(), &single).unwrap();
    of_clip.assign(&inflate_weights(&tensors, 1, 2).unwrap()).unwrap();
    let image = normal("image", &[2, 3, 8, 12]);
    let clip = image.unsqueeze(2).repeat([1, 1, 2, 1, 1]);
    let found = encoder.encode(&clip, Encode::whole()).unwrap();
    let wanted = ImageEncoder::encode(&image_encoder, &image, Encode::whole()).unwrap();
    assert!(distance(&found, &wanted) < 1e-5);
}

#[test]
fn weights_of_another_kind_are_not_inflated() {
    let tensors = [("patch_embed.proj.weight".to_owned(), normal("k", &[4, 3, 2, 4, 4]))];
    let refused = inflate_weights(&tensors.into(), 2, 2).unwrap_err().to_string();
    assert!(refused.contains("patch_embed.proj.weight with 4 dimensions (it is [4, 3, 2, 4, 4])"));
}

struct Case {
    encoder: VideoTransformer,
    decoder: VideoDecoder,
    parameters: Parameters,
    indices: TokenIndices,
    clips: Tensor,
}

fn case() -> Case {
    let config = small();
    let mut parameters = Parameters::new(5, Device::Cpu);
    let encoder = VideoTransformer::new(parameters.root(), &config).unwrap();
    let decoder = decoder_of(&config, 12, 2, 3);
    let decoder = VideoDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
    let noise: Vec<f32> = (0..24).map(|i| (i * 17 % 24) as f32).collect();
    let plan = MaskPlan::from_noise(&noise, 2, 0.75).unwrap();
    let indices = TokenIndices::new(&plan, Device::Cpu);
    Case { encoder, decoder, parameters, indices, clips: normal("clips", &[2, 3, 4, 8, 12]) }
}

impl Case {
    fn predict(&self, clips: &Tensor, indices: &TokenIndices) -> Tensor {
        let latent = self.encoder.encode(clips, Encode::visible(indices)).unwrap();
        self.decoder.predict_all(&latent, indices).unwrap()
    }
}

#[test]
fn predictions_depend_on_visible_pixels_alone() {
    let case = case();
    let before = case.predict(&case.clips, &case.indices);
    // The mask at pixel resolution: tokens of 2 × 4 × 4 on a 2 × 2 × 3 grid.
    let mask = case.indices.mask().view([2, 1, 2, 2, 3]).to_kind(Kind::Bool);
    let mask = [(2, 2), (3, 4), (4, 4)]
        .into_iter()
        .fold(mask, |mask, (side, times)| mask.repeat_interleave_self_int(times, side, None));
    let noise = normal("noise", &case.clips.size());
    assert_eq!(case.predict(&noise.where_self(&mask, &case.clips), &case.indices), before);
    let changed = case.clips.where_self(&mask, &noise);
    assert!(distance(&case.predict(&changed, &case.indices), &before) > 1e-3);
}

/// Without temporal positions, a static clip's time steps are
/// interchangeable.
#[test]
fn steps_of_a_static_clip_may_change_places_where_time_has_no_position() {
    let case = case();
    for name in ["pos_embed_temporal", "decoder_pos_embed_temporal"] {
        tch::no_grad(|| {
            let _ = case.parameters.get(name).unwrap().tensor.shallow_clone().zero_();
        });
    }
    let clips = case.clips.narrow(2, 0, 1).repeat([1, 1, 4, 1, 1]);
    let mask: Vec<f32> = case.indices.mask().flatten(0, -1).try_into().unwrap();
    let swapped = mask.chunks(12).flat_map(|mask| [&mask[6..], &mask[..6]].concat());
    let swapped: Vec<bool> = swapped.map(|masked| masked == 1.0).collect();
    let swapped = TokenIndices::new(&MaskPlan::from_masks(&swapped, 12).unwrap(), Device::Cpu);
    let before = case.predict(&clips, &case.indices);
    let after = case.predict(&clips, &swapped);
    let back = Tensor::cat(&[after.narrow(1, 6, 6), after.narrow(1, 0, 6)], 1);
    assert!(distance(&before, &back) < 1e-5);
}

#[test]
fn the_decoders_own_class_token_moves_with_the_loss() {
    let case = case();
    case.predict(&case.clips, &case.indices).square().mean(Kind::Float).backward();
    let own = &case.parameters.get("decoder_cls_token").unwrap().tensor;
    assert!(own.grad().abs().max().double_value(&[]) > 0.0);
}

#[test]
fn a_batch_of_repeats_is_the_batch_of_their_clips() {
    let case = case();
    let whole = case.encoder.encode(&case.clips, Encode::whole()).unwrap();
    for place in 0..2 {
        let single = case.clips.narrow(0, place, 1);
        let found = case.encoder.encode(&single, Encode::whole()).unwrap();
        assert!(distance(&found, &whole.narrow(0, place, 1)) < 1e-5);
    }
}

#[test]
fn clips_of_other_sizes_are_refused_in_words() {
    let case = case();
    let longer = normal("longer", &[2, 3, 6, 8, 12]);
    let refused = case.encoder.encode(&longer, Encode::whole()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the batch of clips is [2, 3, 6, 8, 12], the model expects [B, 3, 4, 8, 12]"
    );
    let refused =
        VideoTransformer::new(Parameters::sketch().root(), &VideoConfig { frames: 5, ..small() });
    assert!(matches!(refused, Err(ModelError::Geometry(_))));
}

/// MAE-ST's published cost: 597 to 598 billion multiply-add operations for ViT-L.
#[test]
fn vit_l_costs_what_is_published() {
    let config = VideoConfig::new(16, 2, VitConfig::large(224, 16));
    let StepCost { forward, .. } = config.step_cost(1568);
    assert!((forward as f64 / 2.0 / 598e9 - 1.0).abs() < 0.01, "{forward}");
    let decoder = decoder_of(&config, 512, 4, 16).step_cost(156, 1412).forward;
    let masked = config.step_cost(156).forward + decoder;
    let gain = (forward + decoder_of(&config, 512, 4, 16).step_cost(1568, 0).forward) as f64
        / masked as f64;
    assert!((gain - 7.7).abs() < 0.4, "{gain}");
}
