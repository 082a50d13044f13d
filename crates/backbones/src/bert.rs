//! BERT's encoder (Devlin et al., arXiv 1810.04805), used as a frozen text encoder.
//!
//! Blocks normalise after their residual sums. Parameters have Hugging Face's names (`BertModel`,
//! without its pooler), so published weights load as they are. There is no dropout: the encoder is
//! not trained here.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::checkpoint::Mismatch;
use crate::{Activation, EncoderSizes, Init, LayerNorm, Linear, ModelError, Parameters, Scope};

/// Sizes of an encoder, by the keys of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Width of a token, D.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside each block's MLP.
    pub intermediate_size: usize,
    /// Longest text in tokens.
    pub max_position_embeddings: usize,
    /// Number of segment types.
    pub type_vocab_size: usize,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// The nonlinearity of the MLPs.
    pub hidden_act: Activation,
}

impl BertConfig {
    fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        let largest = EncoderSizes::LARGEST;
        if let Some((key, size)) = sizes.into_iter().find(|(_, size)| !(1..=largest).contains(size))
        {
            let text = format!("{key} is {size}; it must be at least 1 and at most {largest}");
            return Err(ModelError::Config(text));
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(heads) {
            let text =
                format!("hidden_size {width} must be a multiple of num_attention_heads {heads}");
            return Err(ModelError::Config(text));
        }
        Ok(())
    }
}

/// Token, position and segment embeddings, and the blocks.
#[derive(Debug)]
pub struct BertEncoder {
    config: BertConfig,
    parameters: Parameters,
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    norm: LayerNorm,
    blocks: Vec<BertBlock>,
}

#[derive(Debug)]
struct BertBlock {
    query: Linear,
    key: Linear,
    value: Linear,
    mixed: Linear,
    mixed_norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    norm: LayerNorm,
}

impl BertEncoder {
    /// Builds an encoder with random weights, drawn from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when sizes do not fit together.
    pub fn new(config: &BertConfig, seed: u64, device: Device) -> Result<Self, ModelError> {
        Self::built(config, Parameters::new(seed, device))
    }

    /// Adds the encoder's parameters to an empty set.
    fn built(config: &BertConfig, mut parameters: Parameters) -> Result<Self, ModelError> {
        config.check()?;
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let mut root = parameters.root();
        let mut scope = root.sub("embeddings");
        let mut table = |name: &str, rows: usize| {
            let shape = [rows as i64, width as i64];
            scope.sub(name).add("weight", &shape, Init::Normal(0.02))
        };
        let words = table("word_embeddings", config.vocab_size);
        let positions = table("position_embeddings", config.max_position_embeddings);
        let segments = table("token_type_embeddings", config.type_vocab_size);
        let norm = LayerNorm::new(scope.sub("LayerNorm"), width, eps);
        let mut encoder = root.sub("encoder");
        let mut layers = encoder.sub("layer");
        let blocks = (0..config.num_hidden_layers)
            .map(|place| BertBlock::new(layers.sub(place), config))
            .collect();
        parameters.train_only(|_| false);
        let config = config.clone();
        Ok(Self { config, parameters, words, positions, segments, norm, blocks })
    }

    /// Builds an encoder with published weights: the tensors of a `BertModel`, with or without the
    /// prefix `bert.`; its pooler and other heads are left out. The weights of norms may have their
    /// names in Google's files, `gamma` and `beta`.
    ///
    /// Sizes are compared with the weights before memory is allocated for the encoder.
    ///
    /// # Errors
    /// [`ModelError::Config`] when sizes do not fit together, or when tensors are missing or of
    /// another shape.
    pub fn of_tensors(
        config: &BertConfig,
        tensors: &HashMap<String, Tensor>,
        device: Device,
    ) -> Result<Self, ModelError> {
        let (blocks, held) = (config.num_hidden_layers, tensors.len());
        if blocks > held {
            return Err(ModelError::Config(format!(
                "num_hidden_layers is {blocks}, but the weights hold only {held} tensors"
            )));
        }
        let sketch = Self::built(config, Parameters::sketch())?.parameters;
        let named = |name: &str| {
            let first = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            let prefixed = [name, &first].map(|name| format!("bert.{name}"));
            let names = [name, &first, &prefixed[0], &prefixed[1]];
            names.into_iter().find_map(|name| tensors.get(name))
        };
        let own = sketch.iter().filter_map(|parameter| {
            let name = &parameter.name;
            Some((name.clone(), named(name)?.shallow_clone()))
        });
        let own: HashMap<String, Tensor> = own.collect();
        let refuse = |mismatch: Mismatch| {
            ModelError::Config(format!("the weights do not fit the encoder: {mismatch}"))
        };
        let mismatch = sketch.mismatch(&own);
        if !mismatch.is_empty() {
            return Err(refuse(mismatch));
        }
        let encoder = Self::new(config, 0, device)?;
        encoder.parameters.assign(&own).map_err(refuse)?;
        Ok(encoder)
    }

    /// Its sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Its parameters; none is trained.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Encodes words i64 [B, T] into the last hidden state [B, T, D]. `seen`, bool [B, T], is true
    /// at words and false at padding, where the outputs are meaningless.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the texts are too long or the two differ in shape.
    pub fn encode(&self, words: &Tensor, seen: &Tensor) -> Result<Tensor, ModelError> {
        let size = words.size();
        let longest = self.config.max_position_embeddings;
        if size.len() != 2 || size[1] > longest as i64 || seen.size() != size {
            let expected = format!("[B, T] of at most {longest} words, and a mask of this shape");
            return Err(ModelError::Shape { what: "the text", found: size, expected });
        }
        let places = self.positions.narrow(0, 0, size[1]);
        let segment = self.segments.narrow(0, 0, 1);
        let embedded = Tensor::embedding(&self.words, words, -1, false, false) + places + segment;
        let mut x = self.norm.forward(&embedded);
        // [B, 1, 1, T]: no token attends to padding.
        let seen = seen.to_kind(Kind::Bool).unsqueeze(1).unsqueeze(1);
        for block in &self.blocks {
            x = block.forward(&x, &seen, &self.config);
        }
        Ok(x)
    }
}

impl BertBlock {
    fn new(mut scope: Scope<'_>, config: &BertConfig) -> Self {
        let (width, wide, eps) =
            (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let mut attention = scope.sub("attention");
        let [query, key, value] = ["query", "key", "value"]
            .map(|name| Linear::new(attention.sub("self").sub(name), width, width, true));
        let mut output = attention.sub("output");
        let mixed = Linear::new(output.sub("dense"), width, width, true);
        let mixed_norm = LayerNorm::new(output.sub("LayerNorm"), width, eps);
        let inner = Linear::new(scope.sub("intermediate").sub("dense"), width, wide, true);
        let mut output = scope.sub("output");
        let narrow = Linear::new(output.sub("dense"), wide, width, true);
        let norm = LayerNorm::new(output.sub("LayerNorm"), width, eps);
        Self { query, key, value, mixed, mixed_norm, wide: inner, narrow, norm }
    }

    fn forward(&self, x: &Tensor, seen: &Tensor, config: &BertConfig) -> Tensor {
        let (batch, tokens, width) = (x.size()[0], x.size()[1], config.hidden_size as i64);
        let heads = config.num_attention_heads as i64;
        let split = |layer: &Linear| {
            layer.forward(x).view([batch, tokens, heads, width / heads]).transpose(1, 2)
        };
        let [q, k, v] = [&self.query, &self.key, &self.value].map(split);
        let mixed =
            Tensor::scaled_dot_product_attention(&q, &k, &v, Some(seen), 0.0, false, None, false);
        let mixed = mixed.transpose(1, 2).reshape([batch, tokens, width]);
        let x = self.mixed_norm.forward(&(x + self.mixed.forward(&mixed)));
        let wide = config.hidden_act.forward(&self.wide.forward(&x));
        self.norm.forward(&(&x + self.narrow.forward(&wide)))
    }
}
