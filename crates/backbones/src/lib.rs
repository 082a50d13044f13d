//! Vision transformers for masked pre-training.
//!
//! The encoder takes images and the [`TokenIndices`] of a mask plan, and works
//! on visible tokens alone; the MAE decoder predicts the masked ones. No model
//! here samples a mask. Parameters bear timm's and the MAE reference's names,
//! so public checkpoints load without guessing.
//!
//! ```
//! use bauta_backbones::{MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices};
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
//! let latent = encoder.forward_visible(&images, &indices)?;
//! assert_eq!(latent.size(), [2, 1 + 16, 128]);
//! assert_eq!(decoder.predict_masked(&latent, &indices)?.size(), [2, 48, 48]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beit;
mod block;
pub mod checkpoint;
mod clip;
mod decoder_body;
mod disentangling_decoder;
mod drop_path;
mod efficientnet;
mod error;
mod flops;
mod image_encoder;
mod images;
mod layers;
mod mae_decoder;
mod parameters;
mod patch_embed;
mod positions;
mod relative_bias;
mod token_indices;
mod vit;
mod vit_model;

pub use beit::{BeitConfig, BeitEncoder, BeitParts};
pub use block::{Attention, Block, BlockConfig, Mlp};
pub use checkpoint::interchange::{
    BeitModelConfig, ClipModelConfig, EncoderSizes, ModelConfig, ModelFolder, Naming,
    Preprocessing, Sides, Unsaid, VitMaeConfig, VitModelConfig, describe, read_checkpoint,
};
pub use clip::{ClipFeatures, ClipVisionConfig, ClipVisual};
pub use disentangling_decoder::{DisentanglingDecoder, mae_weights_for_branches};
pub use drop_path::DropPath;
pub use efficientnet::{EfficientNetLite0, FeatureStride};
pub use error::ModelError;
pub use flops::Flops;
pub use image_encoder::ImageEncoder;
pub use images::ImageNormalization;
pub use layers::{Activation, LayerNorm, Linear};
pub use mae_decoder::{MaeDecoder, MaeDecoderConfig};
pub use parameters::{Init, Parameter, Parameters, Scope};
pub use patch_embed::PatchEmbed;
pub use positions::{interpolate_positions, sin_cos_2d};
pub use relative_bias::{RelativePositionBias, interpolate_relative_bias, relative_position_index};
pub use token_indices::TokenIndices;
pub use vit::{VisionTransformer, VitConfig, class_token, mean_of_patches};
// Part of this crate's interface, so that its users need no version of their own.
pub use bauta_masking as masking;
pub use tch;

pub use vit_model::{VitHead, VitModel, VitOutput};
