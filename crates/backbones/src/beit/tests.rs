//! Properties of the encoder (MaskDistill §3), on grids that are not square.

use bauta_masking::MaskPlan;
use tch::{Device, Kind};

use super::*;
use crate::tests::normal;
use crate::{Linear, Parameters, TokenIndices, VitConfig, patch_tokens};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

/// A rectangular grid of 2 × 3 patches. All weights are random, so that each one affects the
/// output.
fn encoder(config: impl FnOnce(BeitConfig) -> BeitConfig) -> (Parameters, BeitEncoder) {
    let vit = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) };
    let config = config(BeitConfig::new(vit));
    let mut parameters = Parameters::new(0, Device::Cpu);
    let encoder = BeitEncoder::new(parameters.root(), &config).unwrap();
    tch::no_grad(|| {
        for parameter in &parameters {
            let noise = normal(&parameter.name, &parameter.tensor.size()) * 0.2;
            let _ = parameter.tensor.shallow_clone().g_add_(&noise);
        }
    });
    (parameters, encoder)
}

fn plan() -> TokenIndices {
    // Masked patches: 1, 2, 4 of the first sample and 0, 3, 5 of the second.
    let masks = [false, true, true, false, true, false, true, false, false, true, false, true];
    TokenIndices::new(&MaskPlan::from_masks(&masks, 6).unwrap(), Device::Cpu)
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

#[test]
fn sizes_are_those_of_the_reference() {
    let mut parameters = Parameters::sketch();
    BeitEncoder::new(parameters.root(), &BeitConfig::new(VitConfig::base(224, 16))).unwrap();
    assert_eq!(parameters.count(), 86_256_720 - 590_592);
    let mut root = parameters.root();
    Linear::starting(root.sub("lm_head"), 768, 768, BeitEncoder::INIT, true);
    assert_eq!(parameters.count(), 86_256_720);
    let shape = |name: &str| parameters.get(name).unwrap().tensor.size();
    assert_eq!(shape("mask_token"), [1, 1, 768]);
    assert_eq!(shape("rel_pos_bias.relative_position_bias_table"), [732, 12]);
    assert_eq!(shape("blocks.11.gamma_2"), [768]);
    assert_eq!(shape("blocks.0.attn.v_bias"), [768]);
    assert_eq!(shape("blocks.0.attn.qkv.weight"), [2304, 768]);
    // The key's bias is not a parameter, and all parameters are trained.
    assert!(parameters.get("blocks.0.attn.qkv.bias").is_none());
    assert!(parameters.iter().all(|parameter| parameter.trainable));
    assert!(parameters.get("pos_embed").is_none());
}

#[test]
fn weights_start_as_the_references() {
    let config = BeitConfig::new(VitConfig::new(32, 8, 128, 12, 4));
    let mut parameters = Parameters::new(0, Device::Cpu);
    BeitEncoder::new(parameters.root(), &config).unwrap();
    let get = |name: &str| parameters.get(name).unwrap().tensor.detach();
    let deviation = |name: &str| get(name).std(true).double_value(&[]);
    let near = |name: &str, wanted: f64| {
        let found = deviation(name);
        assert!((found / wanted - 1.0).abs() < 0.03, "{name}: {found}, not {wanted}");
    };
    for name in ["patch_embed.proj.weight", "blocks.3.attn.qkv.weight", "blocks.11.mlp.fc1.weight"]
    {
        near(name, 0.0108);
        assert!(largest(&get(name)) <= 0.02);
    }
    for branch in ["attn.proj", "mlp.fc2"] {
        near(&format!("blocks.0.{branch}.weight"), 0.00763);
        near(&format!("blocks.11.{branch}.weight"), 0.00220);
        let cut = largest(&get(&format!("blocks.11.{branch}.weight")));
        assert!(cut <= 0.02 / 24_f64.sqrt() + 1e-9, "{cut}");
    }
    for name in ["patch_embed.proj.bias", "rel_pos_bias.relative_position_bias_table"] {
        assert_eq!(largest(&get(name)), 0.0, "{name}");
    }
    assert_eq!(get("blocks.5.gamma_1"), Tensor::full([128], 0.1, FLOAT));
    assert!(largest(&get("cls_token")) > 0.0 && largest(&get("mask_token")) > 0.0);
}

#[test]
fn masked_pixels_change_nothing_and_visible_ones_do() {
    let (_parameters, encoder) = encoder(|config| config);
    let (images, indices) = (normal("images", &[2, 3, 8, 12]), plan());
    let before = encoder.encode(&images, Encode::mask_tokens(&indices)).unwrap();
    assert_eq!(before.size(), [2, 7, 16]);
    let changed = |row: i64, column: i64| {
        let images = images.copy();
        let _ = images.get(0).narrow(1, 4 * row, 4).narrow(2, 4 * column, 4).fill_(9.0);
        encoder.encode(&images, Encode::mask_tokens(&indices)).unwrap()
    };
    for (row, column) in [(0, 1), (0, 2), (1, 1)] {
        assert_eq!(changed(row, column), before);
    }
    // A change in a visible patch changes the outputs at masked ones.
    let after = changed(1, 0);
    let masked = |x: &Tensor| indices.gather_masked(&patch_tokens(x)).get(0);
    assert!(largest(&(masked(&after) - masked(&before))) > 1e-3);
    assert_eq!(after.get(1), before.get(1));
}

#[test]
fn without_masked_patches_it_is_the_whole_image() {
    let (parameters, encoder) = encoder(|config| config);
    let (images, indices) = (normal("images", &[2, 3, 8, 12]), plan());
    // With the embedding of a constant image as mask token, masked patches look like that image.
    let white = Tensor::ones([1, 3, 8, 12], FLOAT);
    let token = encoder.patch_embed.forward_all(&white).unwrap().narrow(1, 0, 1);
    let mask_token = parameters.get("mask_token").unwrap().tensor.shallow_clone();
    tch::no_grad(|| mask_token.shallow_clone().copy_(&token));
    let mask = indices.mask().view([2, 1, 2, 1, 3, 1]).expand([2, 3, 2, 4, 3, 4], false);
    let mask = mask.reshape([2, 3, 8, 12]);
    let covered = &images * (1.0 - &mask) + mask;
    let found = encoder.encode(&images, Encode::mask_tokens(&indices)).unwrap();
    assert!(largest(&(found - encoder.encode(&covered, Encode::whole()).unwrap())) < 1e-5);
}

#[test]
fn without_bias_patches_may_change_places() {
    let (parameters, encoder) = encoder(|config| config);
    let images = normal("images", &[1, 3, 8, 12]);
    // A rotation by 90 degrees would change the grid, so the halves are swapped.
    let swapped = Tensor::cat(&[images.narrow(2, 4, 4), images.narrow(2, 0, 4)], 2);
    let order = Tensor::from_slice(&[0_i64, 4, 5, 6, 1, 2, 3]);
    let off = || {
        let wanted = encoder.encode(&images, Encode::whole()).unwrap().index_select(1, &order);
        largest(&(encoder.encode(&swapped, Encode::whole()).unwrap() - wanted))
    };
    assert!(off() > 1e-3);
    let table = &parameters.get("rel_pos_bias.relative_position_bias_table").unwrap().tensor;
    let _ = tch::no_grad(|| table.shallow_clone().zero_());
    assert!(off() < 1e-5);
}

#[test]
fn factors_of_zero_leave_the_embedding() {
    let (parameters, encoder) = encoder(|config| config);
    tch::no_grad(|| {
        for parameter in parameters.iter().filter(|p| p.name.contains("gamma")) {
            let _ = parameter.tensor.shallow_clone().zero_();
        }
    });
    let images = normal("images", &[2, 3, 8, 12]);
    let patches = encoder.patch_embed.forward_all(&images).unwrap();
    assert_eq!(
        encoder.encode(&images, Encode::whole().without_norm()).unwrap(),
        encoder.with_class_token(&patches)
    );
    assert_eq!(
        encoder.encode(&images, Encode::whole()).unwrap(),
        encoder.norm.as_ref().unwrap().forward(&encoder.with_class_token(&patches))
    );
}

#[test]
fn attention_is_its_definition_and_the_kernel_that() {
    let (parameters, encoder) = encoder(|BeitConfig { vit, layer_scale, .. }| BeitConfig {
        vit: VitConfig { depth: 1, ..vit },
        layer_scale,
        absolute_positions: true,
    });
    let images = normal("images", &[2, 3, 8, 12]);
    let map = encoder.last_attention(&images).unwrap();
    assert_eq!(map.size(), [2, 2, 7, 7]);
    let get = |name: &str| parameters.get(name).unwrap().tensor.shallow_clone();
    let patches = encoder.patch_embed.forward_all(&images).unwrap();
    let x = encoder.with_class_token(&patches);
    let (weight, bias) = (get("blocks.0.norm1.weight"), get("blocks.0.norm1.bias"));
    let normed = x.layer_norm([16], Some(&weight), Some(&bias), 1e-6, false);
    let third = |place: i64| {
        normed.matmul(&get("blocks.0.attn.qkv.weight").narrow(0, 16 * place, 16).transpose(0, 1))
    };
    let split = |x: Tensor| x.view([2, 7, 2, 8]).transpose(1, 2);
    let (query, key) = (split(third(0) + get("blocks.0.attn.q_bias")), split(third(1)));
    let scores = (query * 8_f64.powf(-0.5)).matmul(&key.transpose(2, 3));
    let wanted = (scores + &encoder.rel_pos_bias.forward(2)[1]).softmax(-1, Kind::Float);
    assert!(largest(&(&map - &wanted)) < 1e-5);
    // The attention's output is the values weighted by these probabilities, then projected.
    let value = split(third(2) + get("blocks.0.attn.v_bias"));
    let heads = wanted.matmul(&value).transpose(1, 2).reshape([2, 7, 16]);
    let projected = heads.matmul(&get("blocks.0.attn.proj.weight").transpose(0, 1))
        + get("blocks.0.attn.proj.bias");
    // Without the MLP, the block consists of the attention branch alone.
    let _ = tch::no_grad(|| get("blocks.0.gamma_2").zero_());
    let wanted = x + projected * get("blocks.0.gamma_1");
    let found = encoder.encode(&images, Encode::whole().without_norm()).unwrap();
    assert!(largest(&(&found - &wanted)) < 1e-5);
    // Without gradients, another kernel runs.
    let fused = tch::no_grad(|| encoder.encode(&images, Encode::whole().without_norm()).unwrap());
    assert!(largest(&(found - fused)) < 1e-5);
}

#[test]
fn gradients_reach_every_parameter_from_the_masked_tokens() {
    let (parameters, encoder) = encoder(|config| config);
    let (images, indices) = (normal("images", &[2, 3, 8, 12]), plan());
    let tokens = encoder.encode(&images, Encode::mask_tokens(&indices)).unwrap();
    let masked = indices.gather_masked(&patch_tokens(&tokens));
    (masked * normal("weights", &[2, 3, 16])).sum(Kind::Float).backward();
    for parameter in &parameters {
        let gradient = parameter.tensor.grad();
        assert!(gradient.defined() && largest(&gradient) > 0.0, "{}", parameter.name);
    }
}

#[test]
fn skipped_branches_add_nothing() {
    for layer_scale in [Some(0.1), None] {
        let (parameters, encoder) = encoder(|config| BeitConfig { layer_scale, ..config });
        assert_eq!(parameters.get("blocks.0.gamma_1").is_some(), layer_scale.is_some());
        let (images, indices) = (normal("images", &[2, 3, 8, 12]), plan());
        let masked = |factors: &[f32]| {
            let drop = DropPath::new(factors, 2, 2, Device::Cpu);
            encoder.encode(&images, Encode::mask_tokens(&indices).dropping(Some(&drop))).unwrap()
        };
        let whole = encoder.encode(&images, Encode::mask_tokens(&indices)).unwrap();
        assert_eq!(masked(&[1.0; 8]), whole);
        // The second sample skips everything, the first nothing.
        let found = masked(&[1.0, 0.0].repeat(4));
        assert!(largest(&(found.get(0) - whole.get(0))) < 1e-5);
        let cls = encoder.norm.as_ref().unwrap().forward(&encoder.cls_token).view([16]);
        assert!(largest(&(found.get(1).get(0) - cls)) < 1e-5);
    }
}

#[test]
fn tokens_of_blocks_are_those_on_the_way_to_the_end() {
    let (_parameters, encoder) = encoder(|config| config);
    let images = normal("images", &[2, 3, 8, 12]);
    let found = encoder.tokens_of_blocks(&images, &[0, 1], Moments::Running).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], encoder.encode(&images, Encode::whole().without_norm()).unwrap());
    let refused =
        encoder.tokens_of_blocks(&images, &[2], Moments::Running).unwrap_err().to_string();
    assert!(refused.contains("must ascend and lie in 0..2"), "{refused}");
}

#[test]
fn impossible_sizes_are_refused_with_their_values() {
    let refuse = |vit: VitConfig| {
        let config = BeitConfig::new(vit);
        BeitEncoder::new(Parameters::sketch().root(), &config).unwrap_err().to_string()
    };
    let nano = VitConfig::nano(32, 4);
    assert!(refuse(VitConfig { patch_size: 5, ..nano.clone() }).contains("patch size 5"));
    let message = refuse(VitConfig { heads: 3, ..nano.clone() });
    assert_eq!(message, "the encoder's number of heads 3 does not divide its width (dim) 128");
    assert!(refuse(VitConfig { channels: 0, ..nano.clone() }).contains("at least one channel"));
    assert!(refuse(VitConfig { qkv_bias: false, ..nano }).contains("have a bias"));
}

#[test]
fn a_shared_table_copied_into_every_block_gives_the_same() {
    let (parameters, encoder) = encoder(|config| config);
    let mut weights: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    BeitEncoder::expand_shared_bias(&mut weights, 2);
    let mut expanded = Parameters::new(1, Device::Cpu);
    let parts = BeitParts { biases_of_blocks: true, ..BeitParts::PRE_TRAINING };
    let tuned = BeitEncoder::with_parts(expanded.root(), encoder.config(), parts).unwrap();
    expanded.assign(&weights).unwrap();
    let images = normal("images", &[2, 3, 8, 12]);
    assert_eq!(
        tuned.encode(&images, Encode::whole()).unwrap(),
        encoder.encode(&images, Encode::whole()).unwrap()
    );
    assert_eq!(tuned.last_attention(&images).unwrap(), encoder.last_attention(&images).unwrap());
    // From here on, the blocks' tables are independent.
    let table = &expanded.get("blocks.0.attn.relative_position_bias_table").unwrap().tensor;
    let _ = tch::no_grad(|| table.shallow_clone().g_mul_scalar_(2.0));
    assert!(
        largest(
            &(tuned.encode(&images, Encode::whole()).unwrap()
                - encoder.encode(&images, Encode::whole()).unwrap())
        ) > 1e-4
    );
}

#[test]
fn without_mask_token_nothing_is_masked() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let parts = BeitParts { mask_token: false, norm: false, ..BeitParts::PRE_TRAINING };
    let config = BeitConfig::new(VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) });
    let encoder = BeitEncoder::with_parts(parameters.root(), &config, parts).unwrap();
    assert!(parameters.get("mask_token").is_none() && parameters.get("norm.bias").is_none());
    let images = normal("images", &[2, 3, 8, 12]);
    assert_eq!(
        encoder.encode(&images, Encode::whole()).unwrap(),
        encoder.encode(&images, Encode::whole().without_norm()).unwrap()
    );
    let refused = encoder.encode(&images, Encode::mask_tokens(&plan())).unwrap_err().to_string();
    assert!(refused.contains("no mask token"), "{refused}");
}

#[test]
fn a_head_on_gathered_rows_is_the_gathered_head_on_all() {
    let (_parameters, encoder) = encoder(|config| config);
    let mut above = Parameters::new(2, Device::Cpu);
    let head = Linear::new(above.root().sub("lm_head"), 16, 5, true);
    let images = normal("images", &[2, 3, 8, 12]);
    let tokens = encoder.encode(&images, Encode::mask_tokens(&plan())).unwrap();
    let tokens = patch_tokens(&tokens);
    let gathered = head.forward(&plan().gather_masked(&tokens));
    let all = plan().gather_masked(&head.forward(&tokens));
    assert!(largest(&(gathered - all)) < 1e-5);
}
