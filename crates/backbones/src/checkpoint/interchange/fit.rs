//! Checking the sizes of a configuration against the weights' shapes, before a network is built.
//!
//! A network takes as much memory as its description asks for. So a description must agree with the
//! shapes of the weights, whose size is bounded by their file, and the whole network must not be
//! much larger than the weights.

use std::collections::HashMap;

use tch::Tensor;

use super::beit_names::{FIRST_TABLE, TABLE};
use super::{EncoderSizes, ModelConfig, VitMaeConfig};

/// Largest ratio of a network's parameters to the weights'. It is above 1 because weights can be
/// incomplete; missing names are reported when they are loaded.
const MOST_TIMES: u128 = 4;

/// Number of parameters that a network can have in any case.
const SMALL: u128 = 1 << 20;

/// Most patches of a BEiT: each pair of them has an entry in an index.
const MOST_PAIRED: u128 = 4096;

/// A size stated by a description, and the dimensions of tensors that show it.
struct Claim {
    key: &'static str,
    stated: usize,
    shown: Vec<(String, usize)>,
}

/// Refuses a description that does not fit the weights: first names the keys whose sizes differ,
/// then compares the total size.
pub(super) fn check(config: &ModelConfig, tensors: &HashMap<String, Tensor>) -> Result<(), String> {
    let cut = config.sizes().vit().and_then(|vit| vit.grid());
    cut.map_err(|error| error.to_string())?;
    let mut reasons: Vec<String> =
        claims(config).iter().filter_map(|claim| claim.refute(tensors)).collect();
    reasons.dedup();
    let sizes = config.sizes();
    let depth = depth(tensors, "blocks.")?;
    reasons.extend(refute_depth("num_hidden_layers", sizes.num_hidden_layers, "blocks", depth));
    if let ModelConfig::VitMae(config) = config
        && has_decoder(tensors)
    {
        let depth = self::depth(tensors, "decoder_blocks.")?;
        let (key, stated) = ("decoder_num_hidden_layers", config.decoder_num_hidden_layers);
        reasons.extend(refute_depth(key, stated, "decoder_blocks", depth));
        let (key, stated) = ("decoder_branches", config.decoder_branches);
        let found = branches(tensors);
        if found > 0 {
            reasons.extend(refute_depth(key, stated, "decoder_embed", found));
        }
    }
    reasons.extend(refute_image_size(config, tensors));
    if reasons.is_empty() {
        reasons.extend(refute_whole(config, tensors));
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
}

/// The number of blocks of a stack.
///
/// The error names the missing block if indices from 0 have a gap.
pub(super) fn depth(tensors: &HashMap<String, Tensor>, stack: &str) -> Result<usize, String> {
    let index = |name: &String| {
        let text = name.strip_prefix(stack)?.split_once('.')?.0;
        text.parse::<usize>().ok().filter(|index| index.to_string() == text)
    };
    let mut places: Vec<usize> = tensors.keys().filter_map(index).collect();
    places.sort_unstable();
    places.dedup();
    let gap = places.iter().enumerate().find(|(wanted, found)| wanted != *found);
    match gap {
        None => Ok(places.len()),
        Some((missing, found)) => Err(format!(
            "the weights have {stack}{found}, but no {stack}{missing}; blocks must be numbered \
             from 0 without gaps"
        )),
    }
}

/// The number of a decoder's embeddings: one for each image that it reconstructs separately.
fn branches(tensors: &HashMap<String, Tensor>) -> usize {
    let is_embedding = |name: &&String| {
        let number = name.strip_prefix("decoder_embed").and_then(|s| s.strip_suffix(".weight"));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    tensors.keys().filter(is_embedding).count()
}

/// Whether the weights contain any part of a decoder.
pub(super) fn has_decoder(tensors: &HashMap<String, Tensor>) -> bool {
    tensors.keys().any(|name| name.starts_with("decoder"))
}

impl Claim {
    fn new(key: &'static str, stated: usize, shown: &[(&str, usize)]) -> Self {
        let shown = shown.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect();
        Self { key, stated, shown }
    }

    /// A message, unless one of the tensors has the stated size or none of them exists.
    fn refute(&self, tensors: &HashMap<String, Tensor>) -> Option<String> {
        let mut shapes = Vec::new();
        for (name, side) in &self.shown {
            let Some(tensor) = tensors.get(name) else { continue };
            let shape = tensor.size();
            if shape.get(*side).copied() == i64::try_from(self.stated).ok() {
                return None;
            }
            shapes.push(format!("{name} is {shape:?}"));
        }
        let Self { key, stated, .. } = self;
        let shapes = shapes.join(" and ");
        (!shapes.is_empty()).then(|| format!("{key} is {stated}, but in the weights {shapes}"))
    }
}

fn claims(config: &ModelConfig) -> Vec<Claim> {
    const EMBED: &str = "patch_embed.proj.weight";
    let sizes = config.sizes();
    let mut claims = vec![
        Claim::new(
            "hidden_size",
            sizes.hidden_size,
            &[("cls_token", 2), (EMBED, 0), ("blocks.0.mlp.fc1.weight", 1)],
        ),
        Claim::new("num_channels", sizes.num_channels, &[(EMBED, 1)]),
        Claim::new("patch_size", sizes.patch_size.height(), &[(EMBED, 2)]),
        Claim::new("patch_size", sizes.patch_size.width(), &[(EMBED, 3)]),
        Claim::new(
            "intermediate_size",
            sizes.intermediate_size,
            &[("blocks.0.mlp.fc1.weight", 0), ("blocks.0.mlp.fc2.weight", 1)],
        ),
    ];
    match config {
        ModelConfig::VitMae(config) => claims.extend(claims_of_decoder(config)),
        ModelConfig::Vit(_) => {}
        ModelConfig::Beit(config) => {
            let heads = sizes.num_attention_heads;
            claims.push(Claim::new("num_attention_heads", heads, &[(TABLE, 1), (FIRST_TABLE, 1)]));
            claims.push(Claim::new("vocab_size", config.vocab_size, &[("lm_head.weight", 0)]));
        }
        ModelConfig::Clip(config) => {
            let width = config.projection_dim;
            claims.push(Claim::new("projection_dim", width, &[("head.weight", 0)]));
        }
    }
    // A head has one row per output, each of the encoder's width.
    for head in ["head.weight", "pooler.weight", "lm_head.weight"] {
        claims.push(Claim::new("hidden_size", sizes.hidden_size, &[(head, 1)]));
    }
    claims
}

fn claims_of_decoder(config: &VitMaeConfig) -> Vec<Claim> {
    let width = config.decoder_hidden_size;
    let mut claims = vec![
        Claim::new(
            "decoder_hidden_size",
            width,
            &[
                ("decoder_embed.weight", 0),
                ("decoder_embed1.weight", 0),
                ("decoder_pred.weight", 1),
            ],
        ),
        Claim::new(
            "decoder_intermediate_size",
            config.decoder_intermediate_size,
            &[("decoder_blocks.0.mlp.fc1.weight", 0), ("decoder_blocks.0.mlp.fc2.weight", 1)],
        ),
    ];
    if let Some(outputs) = config.feature_size {
        claims.push(Claim::new("feature_size", outputs, &[("decoder_pred.weight", 0)]));
    }
    claims
}

fn refute_depth(key: &str, stated: usize, stack: &str, found: usize) -> Option<String> {
    (stated != found).then(|| format!("{key} is {stated}, but the weights have {found} {stack}"))
}

/// Image sizes must give the rows that tables of positions have.
fn refute_image_size(config: &ModelConfig, tensors: &HashMap<String, Tensor>) -> Option<String> {
    let [height, width] = sides(config.sizes())?;
    let image = format!("{} × {} patches of image_size and patch_size", height, width);
    if let ModelConfig::Beit(_) = config {
        let rows = (2 * height - 1) * (2 * width - 1) + 3;
        let table = [TABLE, FIRST_TABLE].into_iter().find(|name| tensors.contains_key(*name))?;
        let found = *tensors[table].size().first()?;
        // A table of nearly the right size is reported later, with all other mismatches.
        if rows > 16 * u128::try_from(found).ok()? + 4096 {
            return Some(format!("{image} need {rows} rows, but {table} has {found}"));
        }
        return (height * width > MOST_PAIRED)
            .then(|| format!("{image} are more than the {MOST_PAIRED} supported for a BEiT"));
    }
    let positions = tensors.get("pos_embed")?.size();
    let wanted = 1 + height * width;
    let fits = positions.get(1).is_some_and(|&rows| u128::try_from(rows) == Ok(wanted));
    (!fits).then(|| {
        format!("{image} and a class token need {wanted} positions, but pos_embed is {positions:?}")
    })
}

/// Rows and columns of patches; `None` where images do not divide into whole patches.
fn sides(sizes: &EncoderSizes) -> Option<[u128; 2]> {
    let EncoderSizes { image_size: image, patch_size: patch, .. } = sizes;
    let count = |image: usize, patch: usize| {
        (patch > 0 && image > 0 && image.is_multiple_of(patch)).then(|| (image / patch) as u128)
    };
    Some([count(image.height(), patch.height())?, count(image.width(), patch.width())?])
}

/// Whether the network would be much larger than the weights.
fn refute_whole(config: &ModelConfig, tensors: &HashMap<String, Tensor>) -> Option<String> {
    let held: u128 = tensors.values().map(|tensor| tensor.numel() as u128).sum();
    let mut wanted = numbers_of_encoder(config);
    if let ModelConfig::VitMae(config) = config
        && has_decoder(tensors)
    {
        wanted += numbers_of_decoder(config);
    }
    (wanted > MOST_TIMES * held + SMALL).then(|| {
        format!(
            "the configuration describes a network of about {wanted} numbers, but the weights have \
             {held}; most are missing, or they belong to another model"
        )
    })
}

/// Whether a decoder without any weights is small enough to be built, so that its missing names are
/// reported.
pub(super) fn decoder_is_small(config: &VitMaeConfig) -> bool {
    numbers_of_decoder(config) <= 64 * SMALL
}

/// Approximate number of the encoder's parameters. No size is above [`EncoderSizes::LARGEST`], so
/// nothing overflows.
fn numbers_of_encoder(config: &ModelConfig) -> u128 {
    let sizes = config.sizes();
    let tokens = tokens(sizes);
    let dim = sizes.hidden_size as u128;
    let patch =
        (sizes.num_channels * sizes.patch_size.height()) as u128 * sizes.patch_size.width() as u128;
    let positions = match config {
        ModelConfig::Beit(config) if !config.use_absolute_position_embeddings => 0,
        _ => tokens * dim,
    };
    let tables = match config {
        ModelConfig::Beit(config) => {
            let tables =
                if config.use_relative_position_bias { sizes.num_hidden_layers as u128 } else { 1 };
            tables * 4 * tokens * sizes.num_attention_heads as u128
        }
        _ => 0,
    };
    let head = match config {
        ModelConfig::Clip(config) => config.projection_dim as u128 * dim,
        _ => 0,
    };
    let blocks = sizes.num_hidden_layers as u128 * block(dim, sizes.intermediate_size as u128);
    patch * dim + positions + tables + head + blocks
}

fn numbers_of_decoder(config: &VitMaeConfig) -> u128 {
    let dim = config.decoder_hidden_size as u128;
    let sizes = &config.sizes;
    let patch =
        (sizes.num_channels * sizes.patch_size.height()) as u128 * sizes.patch_size.width() as u128;
    let outputs = config.feature_size.map_or(patch, |outputs| outputs as u128);
    let embed = config.decoder_branches as u128 * sizes.hidden_size as u128 * dim;
    let depth = config.decoder_num_hidden_layers as u128;
    embed
        + tokens(sizes) * dim
        + depth * block(dim, config.decoder_intermediate_size as u128)
        + outputs * dim
}

/// Tokens of an image; 0 where images do not divide into whole patches.
fn tokens(sizes: &EncoderSizes) -> u128 {
    sides(sizes).map_or(0, |[height, width]| 1 + height * width)
}

/// Number of parameters of a block with this width and MLP width.
fn block(dim: u128, mlp: u128) -> u128 {
    4 * dim * dim + 2 * dim * mlp
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn blocks_count_from_zero_without_a_gap() {
        let depth_of = |names: &[&str]| {
            let scalar = || Tensor::zeros([0_i64; 0], (Kind::Float, Device::Cpu));
            depth(&names.iter().map(|name| ((*name).to_owned(), scalar())).collect(), "blocks.")
        };
        assert_eq!(depth_of(&[]), Ok(0));
        assert_eq!(depth_of(&["blocks.1.a", "blocks.0.a", "blocks.0.b", "norm.a"]), Ok(2));
        // Names that no network has are not counted.
        assert_eq!(depth_of(&["blocks.0.a", "blocks.07.a", "blocks.+1.a", "blocks.x.a"]), Ok(1));
        for names in [&["blocks.99999999.x"][..], &["blocks.0.a", "blocks.2.a"]] {
            let refused = depth_of(names).unwrap_err();
            assert!(refused.contains("must be numbered from 0 without gaps"), "{refused}");
        }
    }
}
