//! Encoder and decoder over images and texts (M3AE §3, "Multimodal masked autoencoder").

use bauta_backbones::{
    Block, BlockConfig, Init, LayerNorm, Linear, ModelError, Scope, TokenIndices, is_checkpointed,
    sin_cos_2d,
};
use tch::{Device, Kind, Tensor};

use crate::config::TextSizes;
use crate::{PairConfig, WordIndices, sin_cos_1d};

/// Initialisation of single learned vectors: normal with standard deviation 0.02.
const VECTOR: Init = Init::Normal(0.02);

/// Images as patches.
#[derive(Clone, Copy, Debug)]
pub struct ImageTokens<'a> {
    /// Values of all patches in image order, [B, L, P].
    pub patches: &'a Tensor,
    /// Which patches are visible; `None` for all.
    pub indices: Option<&'a TokenIndices>,
}

/// Texts as ids.
#[derive(Clone, Copy, Debug)]
pub struct TextTokens<'a> {
    /// Ids of all positions, i64 [B, T], those of words below the vocabulary's size; those of padding
    /// are ignored and can be any number.
    pub ids: &'a Tensor,
    /// Which positions are words, and which of these are visible.
    pub words: &'a WordIndices,
}

/// The encoder's output: `[class | visible patches | word slots]`.
#[derive(Debug)]
pub struct Latent<'a> {
    tokens: Tensor,
    image: Option<ImageTokens<'a>>,
    text: Option<TextTokens<'a>>,
}

impl Latent<'_> {
    /// All tokens after the final norm, [B, N, D].
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// The class token, [B, D].
    pub fn class(&self) -> Tensor {
        self.tokens.select(1, 0)
    }

    fn image_count(&self) -> i64 {
        let slots = self.text.map_or(0, |text| text.words.slots());
        self.tokens.size()[1] - 1 - slots
    }
}

/// The decoder's output, for the heads.
#[derive(Debug)]
pub struct Decoded {
    image: Option<Tensor>,
    text: Option<Tensor>,
}

impl Decoded {
    /// All patches in image order, [B, L, d], where there are images.
    pub fn image(&self) -> Option<&Tensor> {
        self.image.as_ref()
    }

    /// All positions, [B, T, d], if there are words; values at padding are meaningless.
    pub fn text(&self) -> Option<&Tensor> {
        self.text.as_ref()
    }
}

/// The masked autoencoder of images and texts.
#[derive(Debug)]
pub struct PairAutoencoder {
    config: PairConfig,
    cls_token: Tensor,
    image_embedding: Linear,
    text_embedding: Option<Tensor>,
    /// For image and text, [1, 1, D]; and for the decoder, [1, 1, d].
    encoder_types: [Option<Tensor>; 2],
    decoder_types: [Option<Tensor>; 2],
    masks: [Option<Tensor>; 2],
    /// [L, D] and [T, D]; and for the decoder.
    encoder_positions: [Tensor; 2],
    decoder_positions: [Tensor; 2],
    encoder: Body,
    decoder_input: Linear,
    decoder: Body,
    pixels: Linear,
    words: Option<Linear>,
}

/// Blocks followed by a norm.
#[derive(Debug)]
struct Body {
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Body {
    fn new(mut scope: Scope<'_>, config: &BlockConfig, depth: usize) -> Self {
        let mut blocks = scope.sub("blocks");
        let blocks = (0..depth).map(|place| Block::new(blocks.sub(place), config)).collect();
        let norm = LayerNorm::new(scope.sub("norm"), config.dim, config.layer_norm_eps);
        Self { blocks, norm }
    }

    /// Applies all blocks with attention to visible tokens, bool [B, N], or without `seen` to all
    /// tokens.
    fn forward(&self, x: Tensor, seen: Option<&Tensor>) -> Tensor {
        let seen = seen.map(|seen| seen.unsqueeze(1).unsqueeze(1));
        let through = |block: &Block, x: &Tensor, seen: Option<&Tensor>| match seen {
            Some(seen) => block.forward_seen(x, seen),
            None => block.forward(x),
        };
        let x = self.blocks.iter().enumerate().fold(x, |x, (place, block)| {
            if is_checkpointed(place, self.blocks.len()) {
                let seen = seen.as_ref().map(Tensor::shallow_clone);
                block.checkpointed(&x, move |block, x| through(block, x, seen.as_ref()))
            } else {
                through(block, &x, seen.as_ref())
            }
        });
        self.norm.forward(&x)
    }
}

impl PairAutoencoder {
    /// Adds the parameters; [`released_name`](crate::released_name) gives their names in the
    /// release.
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that do not fit together.
    pub fn new(mut scope: Scope<'_>, config: &PairConfig) -> Result<Self, ModelError> {
        config.check()?;
        let (dim, narrow) = (config.dim, config.decoder_dim);
        let mut vector = |name: &str, width: usize| scope.add(name, &[1, 1, width as i64], VECTOR);
        let cls_token = vector("cls_token", dim);
        let mut vectors = |name: &str, width: usize, wanted: bool| {
            let mut one = |modality: &str, there: bool| {
                (wanted && there).then(|| vector(&name.replace('*', modality), width))
            };
            [one("image", true), one("text", config.text.is_some())]
        };
        let typed = config.type_vectors;
        let encoder_types = vectors("encoder_*_type_embedding", dim, typed);
        let decoder_types = vectors("decoder_*_type_embedding", narrow, typed);
        let masks = vectors("*_mask_embedding", narrow, true);
        let image_embedding =
            Linear::new(scope.sub("image_embedding"), config.patch_values, dim, true);
        let text_embedding = config.text.map(|TextSizes { vocabulary, .. }| {
            let shape = [vocabulary as i64, dim as i64];
            scope.sub("text_embedding").add("weight", &shape, Init::Normal(1.0))
        });
        let encoder = Body::new(scope.sub("encoder"), &config.encoder_block(), config.depth);
        let decoder_input = Linear::new(scope.sub("decoder_input_projection"), dim, narrow, true);
        let decoder =
            Body::new(scope.sub("decoder"), &config.decoder_block(), config.decoder_depth);
        let pixels =
            Linear::new(scope.sub("decoder_image_output"), narrow, config.patch_values, true);
        let words = config.text.map(|TextSizes { vocabulary, .. }| {
            Linear::new(scope.sub("decoder_text_output"), narrow, vocabulary, true)
        });
        let device = cls_token.device();
        let positions = |dim: usize| {
            let table = |values: &[f32]| {
                Tensor::from_slice(values).view([-1, dim as i64]).to_device(device)
            };
            let places = config.text.map_or(0, |text| text.tokens);
            [table(&sin_cos_2d(config.grid, dim)[dim..]), table(&sin_cos_1d(places, dim))]
        };
        Ok(Self {
            encoder_positions: positions(dim),
            decoder_positions: positions(narrow),
            config: config.clone(),
            cls_token,
            image_embedding,
            text_embedding,
            encoder_types,
            decoder_types,
            masks,
            encoder,
            decoder_input,
            decoder,
            pixels,
            words,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &PairConfig {
        &self.config
    }

    pub(crate) fn device(&self) -> Device {
        self.cls_token.device()
    }

    /// Encodes the visible parts of images, of texts, or of pairs of both.
    ///
    /// Texts without any words count as missing, and then no text is decoded either.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when an input does not fit the sizes or the other inputs, or there is
    /// none.
    pub fn encode<'a>(
        &self,
        image: Option<ImageTokens<'a>>,
        text: Option<TextTokens<'a>>,
    ) -> Result<Latent<'a>, ModelError> {
        let batch = self.check(image, text)?;
        let text = text.filter(|text| !text.words.is_blank());
        let mut parts = vec![self.cls_token.expand([batch, 1, -1], false)];
        if let Some(ImageTokens { patches, indices }) = image {
            let positions = &self.encoder_positions[0];
            let (seen, positions) = match indices {
                Some(indices) => {
                    let places = indices.visible();
                    let positions = positions.index_select(0, &places.flatten(0, -1));
                    let shape = [batch, places.size()[1], -1];
                    (indices.gather_visible(patches), positions.view(shape))
                }
                None => (patches.shallow_clone(), positions.unsqueeze(0)),
            };
            parts.push(typed(
                self.image_embedding.forward(&seen) + positions,
                &self.encoder_types[0],
            ));
        }
        if let Some((TextTokens { ids, words }, table)) = text.zip(self.text_embedding.as_ref()) {
            let seen = Tensor::embedding(table, &words.visible_of(ids), -1, false, false);
            let positions = self.encoder_positions[1].index_select(0, words.places());
            parts.push(typed(
                seen + positions.view([batch, words.slots(), -1]),
                &self.encoder_types[1],
            ));
        }
        let flags = text.map(|text| text.words.filled());
        let x = Tensor::cat(&parts, 1);
        let seen = flags.map(|flags| all_before(flags, x.size()[1]));
        let tokens = self.encoder.forward(x, seen.as_ref());
        Ok(Latent { tokens, image, text })
    }

    /// Decodes all patches and positions from the encoded visible ones.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent is not from this model.
    pub fn decode(&self, latent: &Latent<'_>) -> Result<Decoded, ModelError> {
        let found = latent.tokens.size();
        if found.last() != Some(&(self.config.dim as i64)) {
            let expected = format!("[B, N, {}]", self.config.dim);
            return Err(ModelError::Shape { what: "the latent", found, expected });
        }
        let (batch, visible) = (found[0], latent.image_count());
        let x = self.decoder_input.forward(&latent.tokens);
        let width = self.config.decoder_dim as i64;
        let mut parts = vec![x.narrow(1, 0, 1)];
        if let Some(ImageTokens { indices, .. }) = latent.image {
            let seen = x.narrow(1, 1, visible);
            let all = match (indices, &self.masks[0]) {
                (Some(indices), Some(mask)) => {
                    let mask = mask.expand([batch, indices.masked_count(), width], false);
                    indices.restore_order(&Tensor::cat(&[seen, mask], 1))
                }
                _ => seen,
            };
            parts.push(typed(all + &self.decoder_positions[0], &self.decoder_types[0]));
        }
        if let Some((TextTokens { words, .. }, mask)) = latent.text.zip(self.masks[1].as_ref()) {
            let all = words.restored(&x.narrow(1, 1 + visible, words.slots()), mask);
            parts.push(typed(all + &self.decoder_positions[1], &self.decoder_types[1]));
        }
        let x = Tensor::cat(&parts, 1);
        let seen = latent.text.map(|text| all_before(text.words.eligible(), x.size()[1]));
        let x = self.decoder.forward(x, seen.as_ref());
        let patches = latent.image.map(|_| self.config.grid.tokens() as i64);
        let text = latent.text.map(|text| {
            let places = text.words.tokens();
            x.narrow(1, 1 + patches.unwrap_or(0), places)
        });
        Ok(Decoded { image: patches.map(|patches| x.narrow(1, 1, patches)), text })
    }

    /// The pixel head: decoded patches [..., d] to [..., P].
    pub fn pixels(&self, decoded: &Tensor) -> Tensor {
        self.pixels.forward(decoded)
    }

    /// The word head: decoded positions [..., d] to logits [..., vocabulary].
    ///
    /// # Panics
    /// When it is an image-only model.
    pub fn words(&self, decoded: &Tensor) -> Tensor {
        self.words.as_ref().expect("a model with texts has their head").forward(decoded)
    }

    /// Refuses inputs that do not fit; returns the number of samples.
    fn check(
        &self,
        image: Option<ImageTokens<'_>>,
        text: Option<TextTokens<'_>>,
    ) -> Result<i64, ModelError> {
        let refuse = |what, found: Vec<i64>, expected: String| {
            Err(ModelError::Shape { what, found, expected })
        };
        let (tokens, values) = (self.config.grid.tokens() as i64, self.config.patch_values as i64);
        let mut batch = None;
        if let Some(ImageTokens { patches, indices }) = image {
            let found = patches.size();
            let planned = indices.is_none_or(|indices| {
                found.first() == Some(&indices.batch()) && indices.tokens() == tokens
            });
            if found.len() != 3 || found[1..] != [tokens, values] || !planned {
                let expected = format!("[B, {tokens}, {values}] with a plan of the same");
                return refuse("the patches", found, expected);
            }
            batch = Some(found[0]);
        }
        if let Some(TextTokens { ids, words }) = text {
            let found = ids.size();
            let Some(TextSizes { tokens, .. }) = self.config.text else {
                return refuse("the text", found, "none: the model takes images only".to_owned());
            };
            let wanted = [batch.unwrap_or(words.samples()), tokens as i64];
            if found != wanted || [words.samples(), words.tokens()] != wanted {
                let expected = format!("{wanted:?} with a plan of the same");
                return refuse("the text", found, expected);
            }
            batch = Some(found[0]);
        }
        match batch {
            Some(batch) => Ok(batch),
            None => refuse("the input", Vec::new(), "images, texts or both".to_owned()),
        }
    }
}

fn typed(tokens: Tensor, vector: &Option<Tensor>) -> Tensor {
    match vector {
        Some(vector) => tokens + vector,
        None => tokens,
    }
}

/// Extends flags bool [B, V] of the last tokens to all N tokens; the tokens before them are
/// visible.
fn all_before(flags: &Tensor, tokens: i64) -> Tensor {
    let (batch, last) = (flags.size()[0], flags.size()[1]);
    let before = Tensor::ones([batch, tokens - last], (Kind::Bool, flags.device()));
    Tensor::cat(&[&before, flags], 1)
}
