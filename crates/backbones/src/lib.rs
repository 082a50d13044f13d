//! Vision transformers for masked pre-training.
//!
//! An encoder takes images and an [`Encode`], which says how to encode them: MAE's encodes only the
//! visible tokens of a mask plan's [`TokenIndices`], and its decoder predicts the masked ones;
//! BEiT's replaces the masked ones by a token. Models do not sample masks themselves. Parameters
//! have timm's and the MAE reference's names, so public checkpoints load as they are.
//!
//! ```
//! use bauta_backbones::{Encode, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices};
//! use bauta_backbones::{VisionTransformer, VitConfig};
//! use bauta_masking::{MaskPlan, RandomMask};
//! use tch::{Device, Kind, Tensor};
//!
//! let config = VitConfig::nano(32, 4);
//! let mut parameters = Parameters::new(0, Device::Cpu);
//! let encoder = VisionTransformer::new(parameters.root(), &config)?;
//! let decoder = MaeDecoderConfig::new(config.dim, 64, 1, 4, config.patch_values());
//! let decoder = MaeDecoder::new(parameters.root(), &decoder, encoder.grid())?;
//!
//! let strategy = RandomMask::new(encoder.grid(), 0.75)?;
//! let plan = MaskPlan::draw(&strategy, 0, 0, &[0, 1])?;
//! let indices = TokenIndices::new(&plan, Device::Cpu);
//! let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu));
//! let latent = encoder.encode(&images, Encode::visible(&indices))?;
//! assert_eq!(latent.size(), [2, 1 + 16, 128]);
//! assert_eq!(decoder.predict_masked(&latent, &indices)?.size(), [2, 48, 48]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bare;
mod batch_norm;
mod beit;
mod bert;
mod block;
pub mod checkpoint;
mod checkpointed;
mod clip;
mod clip_encoder;
mod decoder_body;
mod disentangling_decoder;
mod drop_path;
mod efficientnet;
mod encode;
mod encoder_with_head;
mod error;
mod image_encoder;
mod images;
mod layers;
mod mae_decoder;
mod onnx;
mod parameters;
mod patch_embed;
mod positions;
mod relative_bias;
mod residual;
mod resnet;
mod resnet_encoder;
mod spacetime_conv;
mod step_cost;
#[cfg(test)]
mod tests;
mod token_indices;
mod tokens;
mod upsampling_decoder;
mod video;
mod vit;

pub use bare::{
    BareConfig, BareNetwork, BareOutput, Mode, RunningStatistics, WeightShape, Weights,
};
pub use batch_norm::{BatchNorm, Moments};
pub use beit::{BeitConfig, BeitEncoder, BeitParts};
pub use bert::{BertConfig, BertEncoder};
pub use block::{Attention, Block, BlockConfig, Mlp};
pub use checkpoint::interchange::{
    Beginning, BeitModelConfig, ChannelStatistics, ClipFolder, ClipModelConfig, CropRounding,
    EncoderSizes, Filter, Framing, ImportOptions, ModelConfig, ModelFolder, Naming, Preprocessing,
    ResNetFolder, Resize, SampleKind, Samples, Sides, SizeDifference, SpacetimeFolder,
    SpacetimeModelConfig, TargetFrames, VideoFolder, VideoModelConfig, VitMaeConfig,
    VitModelConfig, describe, export_model, import_model, read_checkpoint,
};
pub use checkpointed::is_checkpointed;
pub use clip::{ClipVisionConfig, ClipVisual};
pub use clip_encoder::ClipEncoder;
pub use disentangling_decoder::{DisentanglingDecoder, mae_weights_for_branches};
pub use drop_path::DropPath;
pub use efficientnet::{EfficientNetLite0, FeatureStride};
pub use encode::{Encode, Seen};
pub use encoder_with_head::{EncoderHead, EncoderWithHead, HeadOutput};
pub use error::ModelError;
pub use image_encoder::{EncoderShape, ImageEncoder};
pub use images::ImageNormalization;
pub use layers::{Activation, LayerNorm, Linear};
pub use mae_decoder::{MaeDecoder, MaeDecoderConfig};
pub use onnx::{export_onnx, onnx_graph};
pub use parameters::{Init, Parameter, Parameters, Scope};
pub use patch_embed::PatchEmbed;
pub use positions::{interpolate_positions, sin_cos_2d};
pub use relative_bias::{RelativePositionBias, interpolate_relative_bias, relative_position_index};
pub use resnet::{ResNet, ResNetConfig, ResNetDepth, Stem};
pub use resnet_encoder::ResNetEncoder;
pub use spacetime_conv::{
    ClipFeatures, SpacetimeBlock, SpacetimeConv, SpacetimeConvConfig, SpacetimeStage,
    SpectrogramConv,
};
pub use step_cost::StepCost;
pub use token_indices::TokenIndices;
pub use tokens::{Pooling, class_token, patch_tokens};
pub use upsampling_decoder::{UpsamplingDecoder, UpsamplingDecoderConfig};
pub use video::{
    DecoderClassToken, VideoConfig, VideoDecoder, VideoDecoderConfig, VideoPositions,
    VideoTransformer, deflate_weights, inflate_weights,
};
pub use vit::{VisionTransformer, VitConfig};
// Re-exported because it is part of this crate's interface, so that users need no version of their
// own.
pub use bauta_masking as masking;
pub use tch;
