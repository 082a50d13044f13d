//! Groups of parameters that share weight decay and learning rate.
//!
//! Pre-training has two groups: decayed or not. Fine-tuning has two for each
//! layer, whose learning rates fall geometrically towards the input, so that
//! the general features of early layers change least (BEiT; MAE, fine-tuning).

use std::collections::BTreeMap;

use bauta_backbones::{Parameter, Parameters};

use crate::OptimizerConfig;

/// Layer-wise decay of a network's learning rate: a plain ViT, a BEiT or a residual network.
///
/// ```
/// use bauta_train::LayerDecay;
/// let decay = LayerDecay { decay: 0.65, depth: 12 };
/// assert_eq!(decay.layer_of("blocks.0.mlp.fc1.weight"), 1);
/// assert_eq!(decay.scale(decay.layer_of("head.weight")), 1.0);
/// assert!((decay.scale(decay.layer_of("pos_embed")) - 0.003_697_2).abs() < 1e-7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerDecay {
    /// Learning rate of a layer over that of the layer above it.
    pub decay: f64,
    /// Number of blocks.
    pub depth: usize,
}

impl LayerDecay {
    /// The layer of a parameter: 0 for embeddings, i + 1 for block i, and depth + 1 for layers
    /// above the blocks.
    ///
    /// A table of position biases that all blocks share has depth + 1 too; a block's own table
    /// belongs to that block. A residual network's blocks are its stages, and its embeddings are
    /// the layers before them.
    pub fn layer_of(&self, name: &str) -> usize {
        let embeddings =
            ["cls_token", "mask_token", "pos_embed", "patch_embed.", "conv1.", "bn1.", "stem."];
        if embeddings.iter().any(|start| name.starts_with(start)) {
            return 0;
        }
        numbered(name).unwrap_or(self.depth + 1)
    }

    /// Whether a parameter belongs to a block above [`Self::depth`], which then is that of another
    /// network.
    pub(crate) fn is_above(&self, name: &str) -> bool {
        numbered(name).is_some_and(|layer| layer > self.depth)
    }

    /// The factor of a layer's learning rate: decay^(depth + 1 − layer).
    pub fn scale(&self, layer: usize) -> f64 {
        self.decay.powi((self.depth + 1 - layer) as i32)
    }

    /// Whether partial fine-tuning of the last `blocks` blocks changes a parameter; the
    /// head and its norm are always trained.
    pub fn is_among_last(&self, name: &str, blocks: usize) -> bool {
        self.layer_of(name) + blocks > self.depth
    }
}

/// The layer of a block's or a stage's parameter, from 1; `None` for other parameters.
fn numbered(name: &str) -> Option<usize> {
    let number = |start: &str| name.strip_prefix(start)?.split('.').next()?.parse::<usize>().ok();
    number("blocks.").map(|block| block.saturating_add(1)).or_else(|| number("layer"))
}

/// Whether weight decay applies: not to vectors, scalars, biases or the positions `pos_embed`.
///
/// Class and mask tokens are decayed, as in the reference's pre-training (their
/// tensors have three dimensions and its skip list is empty), and so are the separate positions of
/// clips, such as `pos_embed_spatial`, and tables of position biases.
pub fn is_decayed(parameter: &Parameter) -> bool {
    let name = &parameter.name;
    parameter.tensor.dim() > 1 && !name.ends_with(".bias") && name != "pos_embed"
}

/// Like [`is_decayed`], for fine-tuning, where the references' skip lists also have the class token
/// and the separate positions of clips; BEiT's tables of position biases are decayed there too.
fn is_decayed_in_finetuning(parameter: &Parameter) -> bool {
    let spared = |name: &str| name == "cls_token" || name.starts_with("pos_embed_");
    is_decayed(parameter) && !spared(&parameter.name)
}

/// Parameters that are updated alike.
#[derive(Debug)]
pub struct ParameterGroup<'a> {
    /// The factor of the learning rate.
    pub lr_scale: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The parameters, in their own order.
    pub members: Vec<&'a Parameter>,
}

impl<'a> ParameterGroup<'a> {
    /// Divides the trainable parameters into groups, none of them empty.
    pub fn divide(parameters: &'a Parameters, config: &OptimizerConfig) -> Vec<Self> {
        let mut groups: BTreeMap<(usize, bool), Vec<&Parameter>> = BTreeMap::new();
        for parameter in parameters.trainable() {
            let key = match config.layer_decay {
                Some(layers) => {
                    (layers.layer_of(&parameter.name), !is_decayed_in_finetuning(parameter))
                }
                None => (0, !is_decayed(parameter)),
            };
            groups.entry(key).or_default().push(parameter);
        }
        let group = |((layer, spared), members)| Self {
            lr_scale: config.layer_decay.map_or(1.0, |layers| layers.scale(layer)),
            weight_decay: if spared { 0.0 } else { config.weight_decay },
            members,
        };
        groups.into_iter().map(group).collect()
    }
}

#[cfg(test)]
mod tests {
    use bauta_backbones::{
        BeitConfig, EncoderHead, EncoderWithHead, VideoConfig, VideoTransformer, VitConfig,
    };
    use proptest::prelude::*;

    use super::*;

    fn classifier(depth: usize, head: EncoderHead) -> Parameters {
        let mut parameters = Parameters::sketch();
        let config = VitConfig::new(32, 4, 64, depth, 4);
        EncoderWithHead::vit(parameters.root(), &config, head).unwrap();
        parameters.train_only(|_| true);
        parameters
    }

    #[test]
    fn scales_are_the_references() {
        for (decay, depth, golden) in [
            (0.65, 12, vec![(0, 0.003_697_2), (1, 0.005_688_0), (12, 0.65), (13, 1.0)]),
            (0.75, 24, vec![(0, 7.525_4e-4), (25, 1.0)]),
            (0.75, 32, vec![(0, 7.533_9e-5), (33, 1.0)]),
        ] {
            let layers = LayerDecay { decay, depth };
            for (layer, wanted) in golden {
                let off = layers.scale(layer) / wanted - 1.0;
                assert!(off.abs() < 1e-4, "{decay} {depth} {layer}: {}", layers.scale(layer));
            }
        }
    }

    #[test]
    fn names_are_those_that_are_spared() {
        let parameters = classifier(2, EncoderHead::MeanClassifier(10));
        let layer_decay = Some(LayerDecay { decay: 0.5, depth: 2 });
        let config = OptimizerConfig { layer_decay, ..OptimizerConfig::default() };
        let groups = ParameterGroup::divide(&parameters, &config);
        let names = |group: &ParameterGroup<'_>| -> Vec<String> {
            group.members.iter().map(|p| p.name.clone()).collect()
        };
        assert_eq!(groups.len(), 8);
        assert_eq!(names(&groups[0]), ["patch_embed.proj.weight"]);
        assert_eq!(names(&groups[1]), ["cls_token", "pos_embed", "patch_embed.proj.bias"]);
        assert_eq!(names(&groups[6]), ["head.weight"]);
        assert_eq!(names(&groups[7]), ["fc_norm.weight", "fc_norm.bias", "head.bias"]);
        let settings: Vec<_> = groups.iter().map(|g| (g.lr_scale, g.weight_decay)).collect();
        assert_eq!(settings[..2], [(0.125, 0.05), (0.125, 0.0)]);
        assert_eq!(settings[6..], [(1.0, 0.05), (1.0, 0.0)]);
    }

    #[test]
    fn positions_of_clips_are_decayed_in_pre_training_alone() {
        let mut parameters = Parameters::sketch();
        let config = VideoConfig::new(4, 2, VitConfig::new(32, 4, 64, 1, 4));
        VideoTransformer::new(parameters.root(), &config).unwrap();
        for table in ["spatial", "temporal", "class"] {
            let positions = parameters.get(&format!("pos_embed_{table}")).unwrap();
            assert!(is_decayed(positions) && !is_decayed_in_finetuning(positions), "{table}");
        }
    }

    #[test]
    fn a_beits_tables_belong_to_their_blocks() {
        let mut parameters = Parameters::sketch();
        let config = BeitConfig::new(VitConfig::new(32, 4, 64, 2, 4));
        EncoderWithHead::beit(parameters.root(), &config, EncoderHead::MeanClassifier(10)).unwrap();
        let layers = LayerDecay { decay: 0.5, depth: 2 };
        let config = OptimizerConfig { layer_decay: Some(layers), ..OptimizerConfig::default() };
        let groups = ParameterGroup::divide(&parameters, &config);
        let is_in = |group: usize, name: &str| groups[group].members.iter().any(|p| p.name == name);
        assert_eq!(groups.len(), 8);
        for (block, [decayed, spared]) in [[2, 3], [4, 5]].into_iter().enumerate() {
            let name = |part: &str| format!("blocks.{block}.{part}");
            assert!(is_in(decayed, &name("attn.relative_position_bias_table")));
            for part in ["gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias", "norm1.weight"] {
                assert!(is_in(spared, &name(part)), "{part}");
            }
            assert_eq!((groups[decayed].weight_decay, groups[spared].weight_decay), (0.05, 0.0));
            assert_eq!(groups[spared].lr_scale, [0.25, 0.5][block]);
        }
        assert!(is_in(1, "cls_token") && is_in(6, "head.weight") && is_in(7, "fc_norm.weight"));
        // Names from pre-training, as in BEiT's code.
        assert_eq!(layers.layer_of("rel_pos_bias.relative_position_bias_table"), 3);
        assert_eq!(layers.layer_of("mask_token"), 0);
    }

    #[test]
    fn a_residual_networks_stages_are_its_layers() {
        let layers = LayerDecay { decay: 0.5, depth: 4 };
        let names = [
            ("conv1.weight", 0),
            ("bn1.bias", 0),
            ("layer1.0.conv1.weight", 1),
            ("layer4.1.downsample.0.weight", 4),
            ("fc.weight", 5),
            // Of a (2+1)D network.
            ("stem.0.weight", 0),
            ("layer1.0.conv1.0.3.weight", 1),
        ];
        for (name, layer) in names {
            assert_eq!(layers.layer_of(name), layer, "{name}");
        }
        assert!(layers.is_among_last("layer4.1.bn2.weight", 1));
        assert!(!layers.is_among_last("layer3.1.bn2.weight", 1));
    }

    proptest! {
        #[test]
        fn groups_partition_what_is_trained_and_scales_rise_with_depth(
            depth in 1_usize..20, decay in 0.3..0.99_f64, blocks in 0_usize..22, mean: bool,
        ) {
            let head =
                if mean { EncoderHead::MeanClassifier(10) } else { EncoderHead::Classifier(10) };
            let mut parameters = classifier(depth, head);
            let layers = LayerDecay { decay, depth };
            parameters.train_only(|name| layers.is_among_last(name, blocks));
            let config = OptimizerConfig { layer_decay: Some(layers), ..OptimizerConfig::default() };
            let groups = ParameterGroup::divide(&parameters, &config);

            let mut names: Vec<&str> =
                groups.iter().flat_map(|g| &g.members).map(|p| p.name.as_str()).collect();
            let mut wanted: Vec<&str> = parameters.trainable().map(|p| p.name.as_str()).collect();
            names.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(names, wanted);

            for layer in 0..=depth {
                prop_assert!(layers.scale(layer) < layers.scale(layer + 1));
            }
            for group in &groups {
                for parameter in &group.members {
                    let layer = layers.layer_of(&parameter.name);
                    prop_assert_eq!(group.lr_scale, layers.scale(layer));
                    let is_head = parameter.name.starts_with("head.");
                    prop_assert!(!is_head || group.lr_scale == 1.0);
                    if parameter.tensor.dim() == 1 {
                        prop_assert_eq!(group.weight_decay, 0.0);
                    }
                }
            }
            // The trained blocks are the last ones; embeddings are trained with all of them.
            let block = |i: usize| parameters.get(&format!("blocks.{i}.norm1.bias")).unwrap();
            for i in 0..depth {
                prop_assert_eq!(block(i).trainable, i + blocks >= depth);
            }
            prop_assert_eq!(parameters.get("pos_embed").unwrap().trainable, blocks > depth);
        }
    }
}
