//! Images and texts as one sequence: M3AE's encoder and decoder (arXiv 2205.14204).
//!
//! One transformer encodes `[class | visible patches | visible words]`; a lighter one decodes
//! `[class | all patches | all words]`, with a learned vector in place of masked ones. Learned type
//! vectors mark the modality, and fixed sine-cosine positions the place of a token. A missing
//! modality is left out of the sequence, so the same weights take pairs, images and texts. Padding
//! is never attended to.
//!
//! ```
//! use bauta_backbones::{Parameters, TokenIndices};
//! use bauta_masking::{Grid, MaskPlan, RandomMask, WordMask, WordPlan};
//! use bauta_multimodal::{ImageTokens, PairAutoencoder, PairConfig, TextTokens, WordIndices};
//! use tch::{Device, Kind, Tensor};
//!
//! let grid = Grid::image(4, 4)?;
//! let config = PairConfig::new(grid, 48, 30).with_text(100, 8).with_decoder(16, 1, 2);
//! let config = PairConfig { dim: 32, depth: 2, heads: 4, ..config };
//! let mut parameters = Parameters::new(0, Device::Cpu);
//! let model = PairAutoencoder::new(parameters.root(), &config)?;
//!
//! let plan = MaskPlan::draw(&RandomMask::new(grid, 0.75)?, 0, 0, &[0, 1])?;
//! let patches = Tensor::zeros([2, 16, 48], (Kind::Float, Device::Cpu));
//! let indices = TokenIndices::new(&plan, Device::Cpu);
//! // The second text has five words.
//! let eligible: Vec<bool> = (0..16).map(|place| place < 13).collect();
//! let plan = WordPlan::whole(&eligible, 2)?;
//! let ids = Tensor::ones([2, 8], (Kind::Int64, Device::Cpu));
//! let words = WordIndices::new(&plan, Device::Cpu);
//!
//! let image = ImageTokens { patches: &patches, indices: Some(&indices) };
//! let text = TextTokens { ids: &ids, words: &words };
//! let latent = model.encode(Some(image), Some(text))?;
//! assert_eq!(latent.tokens().size(), [2, 1 + 4 + 8, 32]);
//! let decoded = model.decode(&latent)?;
//! assert_eq!(model.pixels(decoded.image().expect("there are images")).size(), [2, 16, 48]);
//! assert_eq!(model.words(decoded.text().expect("there are texts")).size(), [2, 8, 100]);
//! // The same weights take images alone.
//! let image = ImageTokens { patches: &patches, indices: None };
//! assert_eq!(model.encode(Some(image), None)?.tokens().size(), [2, 17, 32]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod likelihood;
mod model;
mod positions;
mod released;
mod words;

pub use config::{PairConfig, TextSizes};
pub use model::{Decoded, ImageTokens, Latent, PairAutoencoder, TextTokens};
pub use positions::sin_cos_1d;
pub use released::{from_released, released_name, to_released};
pub use words::WordIndices;
