//! `config.json` of a video transformer: our own layout for MAE-ST, and the supported part of
//! Hugging Face's VideoMAE.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EncoderSizes;
use super::encoder_sizes::{check_heads, check_numbers, check_size};
use super::model_config::parse;
use crate::{
    DecoderClassToken, MaeDecoderConfig, ModelError, VideoConfig, VideoDecoderConfig,
    VideoPositions, VitConfig,
};

/// Most numbers in a table of fixed positions.
const MOST_POSITIONS: usize = 1 << 26;

/// Which frames of a clip are predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetFrames {
    /// Evenly spaced from the first to the last, rounded down to whole numbers: of 16 frames 0, 2,
    /// 4, 6, 8, 10, 12 and 15 (facebookresearch/mae_st).
    #[default]
    Linspace,
    /// Every second, third, … frame, starting with the first: 0, 2, …, 14 (PySlowFast).
    Stride,
}

/// `config.json` of a video transformer. Keys that Hugging Face also has mean the same there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoModelConfig {
    /// `mae_st`, or `videomae` for Hugging Face's folders.
    pub model_type: String,
    /// The encoder's sizes.
    #[serde(flatten)]
    pub sizes: EncoderSizes,
    /// Frames of a clip, T.
    pub num_frames: usize,
    /// Frames of a patch, t.
    pub tubelet_size: usize,
    /// The encoder's position embeddings.
    pub positions: VideoPositions,
    /// Whether a class token precedes the patches.
    pub class_token: bool,
    /// Whether there is a norm after the last block.
    pub final_norm: bool,
    /// Whether qkv products have a bias.
    pub qkv_bias: bool,
    /// Width of the decoder; 0 if there is none, and the keys below are then 0 or the defaults.
    pub decoder_hidden_size: usize,
    /// Blocks of the decoder.
    pub decoder_num_hidden_layers: usize,
    /// Attention heads of the decoder.
    pub decoder_num_attention_heads: usize,
    /// The decoder's position embeddings.
    pub decoder_positions: VideoPositions,
    /// The token that precedes the patches in the decoder.
    pub decoder_class_token: DecoderClassToken,
    /// Number of predicted frames per clip.
    pub num_predicted_frames: usize,
    /// Which frames are predicted.
    pub target_frames: TargetFrames,
    /// Whether targets are normalised within each patch.
    pub norm_pix_loss: bool,
    /// Fraction of the tokens that are masked in pre-training.
    pub mask_ratio: f64,
    /// Per-channel mean for normalising frames in [0, 1].
    pub image_mean: Vec<f32>,
    /// Per-channel standard deviation.
    pub image_std: Vec<f32>,
}

impl Default for VideoModelConfig {
    /// MAE-ST's ViT-B, and the normalisation that all its models share.
    fn default() -> Self {
        Self {
            model_type: Self::MODEL_TYPE.into(),
            sizes: EncoderSizes { layer_norm_eps: 1e-6, ..EncoderSizes::default() },
            num_frames: 16,
            tubelet_size: 2,
            positions: VideoPositions::Separable,
            class_token: true,
            final_norm: true,
            qkv_bias: true,
            decoder_hidden_size: 512,
            decoder_num_hidden_layers: 4,
            decoder_num_attention_heads: 16,
            decoder_positions: VideoPositions::Separable,
            decoder_class_token: DecoderClassToken::Own,
            num_predicted_frames: 8,
            target_frames: TargetFrames::Linspace,
            norm_pix_loss: true,
            mask_ratio: 0.9,
            image_mean: vec![0.45; 3],
            image_std: vec![0.225; 3],
        }
    }
}

impl VideoModelConfig {
    /// Our own `model_type`.
    pub const MODEL_TYPE: &str = "mae_st";
    /// Hugging Face's, of which only the encoder is read.
    pub const VIDEOMAE: &str = "videomae";

    /// Describes an encoder and its decoder; other keys take their defaults.
    pub fn new(encoder: &VideoConfig, decoder: Option<&VideoDecoderConfig>) -> Self {
        let default = Self::default();
        let config = Self {
            sizes: EncoderSizes::new(&encoder.vit),
            num_frames: encoder.frames,
            tubelet_size: encoder.patch_frames,
            positions: encoder.positions,
            class_token: encoder.class_token,
            final_norm: encoder.final_norm,
            qkv_bias: encoder.vit.qkv_bias,
            num_predicted_frames: encoder.frames / encoder.patch_frames.max(1),
            image_mean: vec![0.45; encoder.vit.channels],
            image_std: vec![0.225; encoder.vit.channels],
            decoder_hidden_size: 0,
            ..default
        };
        let Some(decoder) = decoder else { return config };
        let steps = config.num_predicted_frames;
        let frame = encoder.vit.patch_values().max(1);
        Self {
            decoder_hidden_size: decoder.mae.dim,
            decoder_num_hidden_layers: decoder.mae.depth,
            decoder_num_attention_heads: decoder.mae.heads,
            decoder_positions: decoder.positions,
            decoder_class_token: decoder.class_token,
            num_predicted_frames: steps * decoder.mae.outputs / frame,
            ..config
        }
    }

    /// Reads the description in a `config.json`. The error names the key that is wrong.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let config: Self = parse(value)?;
        let config = match config.model_type.as_str() {
            Self::MODEL_TYPE => config,
            Self::VIDEOMAE => config.of_videomae(value),
            other => {
                return Err(format!("model_type \"{other}\" is not a supported video transformer"));
            }
        };
        config.check()?;
        check_heads(value, "", config.sizes.num_attention_heads, config.sizes.hidden_size)?;
        let (heads, width) = (config.decoder_num_attention_heads, config.decoder_hidden_size);
        check_heads(value, "decoder_", heads, width)?;
        Ok(config)
    }

    /// VideoMAE has no class token, fixed positions and usually only a norm of the tokens' mean,
    /// which base models lack; its decoder is left out.
    fn of_videomae(self, value: &Value) -> Self {
        let said = |key: &str| value.get(key).and_then(Value::as_bool);
        let eps = value.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(1e-12);
        Self {
            sizes: EncoderSizes { layer_norm_eps: eps, ..self.sizes },
            positions: VideoPositions::SineCosine,
            class_token: false,
            final_norm: !said("use_mean_pooling").unwrap_or(true),
            qkv_bias: said("qkv_bias").or(said("qv_bias")).unwrap_or(true),
            decoder_hidden_size: 0,
            image_mean: vec![0.485, 0.456, 0.406],
            image_std: vec![0.229, 0.224, 0.225],
            ..self
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<VideoConfig, ModelError> {
        Ok(VideoConfig {
            frames: self.num_frames,
            patch_frames: self.tubelet_size,
            vit: VitConfig { qkv_bias: self.qkv_bias, ..self.sizes.vit()? },
            positions: self.positions,
            class_token: self.class_token,
            final_norm: self.final_norm,
        })
    }

    /// The decoder's sizes, if there is one.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square, or when the number of predicted frames
    /// is not a multiple of the number of time steps.
    pub fn decoder(&self) -> Result<Option<VideoDecoderConfig>, ModelError> {
        if self.decoder_hidden_size == 0 {
            return Ok(None);
        }
        let encoder = self.encoder()?;
        let (steps, predicted) = (encoder.grid()?.time(), self.num_predicted_frames);
        if predicted == 0 || !predicted.is_multiple_of(steps) {
            return Err(ModelError::Config(format!(
                "num_predicted_frames {predicted} is not a multiple of the {steps} steps of time"
            )));
        }
        let outputs = predicted / steps * encoder.vit.patch_values();
        let VitConfig { dim, layer_norm_eps, qkv_bias, activation, .. } = encoder.vit;
        let (width, depth) = (self.decoder_hidden_size, self.decoder_num_hidden_layers);
        let heads = self.decoder_num_attention_heads;
        Ok(Some(VideoDecoderConfig {
            mae: MaeDecoderConfig {
                layer_norm_eps,
                qkv_bias,
                activation,
                ..MaeDecoderConfig::new(dim, width, depth, heads, outputs)
            },
            positions: self.decoder_positions,
            class_token: self.decoder_class_token,
        }))
    }

    /// Names a key with an impossible value, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        self.sizes.check()?;
        for (key, size) in [
            ("num_frames", self.num_frames),
            ("tubelet_size", self.tubelet_size),
            ("decoder_hidden_size", self.decoder_hidden_size.max(1)),
            ("decoder_num_hidden_layers", self.decoder_num_hidden_layers),
            ("decoder_num_attention_heads", self.decoder_num_attention_heads),
            ("num_predicted_frames", self.num_predicted_frames.max(1)),
        ] {
            check_size(key, size)?;
        }
        let encoder = self.encoder().map_err(|error| error.to_string())?;
        let grid = encoder.grid().map_err(|error| error.to_string())?;
        let VitConfig { dim, channels, patch_size, .. } = encoder.vit;
        let (tokens, width) = (grid.tokens(), self.decoder_hidden_size);
        let predicted = self.num_predicted_frames;
        for (what, sizes) in [
            ("the patch embedding", &[dim, channels, self.tubelet_size, patch_size, patch_size]),
            ("the prediction", &[width, channels, predicted, patch_size, patch_size]),
            ("a table of positions", &[1 + tokens, dim.max(width), 1, 1, 1]),
        ] {
            check_numbers(what, sizes)?;
        }
        for (positions, width) in [(self.positions, dim), (self.decoder_positions, width)] {
            let table = tokens.saturating_mul(width);
            if positions == VideoPositions::SineCosine && table > MOST_POSITIONS {
                return Err(format!(
                    "{tokens} tokens of width {width} need {table} position values; at most \
                     {MOST_POSITIONS} are supported"
                ));
            }
        }
        self.decoder().map_err(|error| error.to_string())?;
        let ratio = self.mask_ratio;
        if !(0.0..1.0).contains(&ratio) {
            return Err(format!("mask_ratio {ratio} is not in [0, 1)"));
        }
        let channels = self.sizes.num_channels;
        if self.image_mean.len() != channels || self.image_std.len() != channels {
            return Err(format!(
                "image_mean and image_std need {channels} values each; they have {} and {}",
                self.image_mean.len(),
                self.image_std.len()
            ));
        }
        Ok(())
    }
}
