//! Siamese networks: two views of an image should be close, and mixed images close to both of their
//! sources.
//!
//! A [`Siamese`] network uses one of three methods, [`Method`]: MoCo v2 (arXiv 2003.04297), SimSiam
//! (arXiv 2011.10566) or BYOL (arXiv 2006.07733). It computes queries, which are trained, and keys,
//! which get no gradient, and measures the [`Distance`] between them. MixMask (arXiv 2210.11456)
//! mixes the query's image and compares it with the keys of both its sources, weighted by their
//! shares: [`soft_distance`], for any distance. Masks are drawn elsewhere
//! (`bauta_masking::Fill`) and passed as [`FillTensors`]; [`unmix`] blends images or pastes a box
//! (arXiv 2003.05438).
//!
//! ```
//! use bauta_masking::{FillStrategy, Filler, Grid, Partners};
//! use bauta_siamese::{Distance, FillTensors, soft_distance};
//! use bauta_streams::{Purpose, StreamKey};
//! use tch::{Device, Kind, Tensor};
//!
//! let key = StreamKey { seed: 0, purpose: Purpose::named("fill"), epoch: 0, sample: 0 };
//! let filler = Filler::new(FillStrategy::Block, Grid::image(4, 4)?, [8, 8], 0.5)?;
//! let fill = filler.draw(Partners::Reversal, 2, &mut key.stream());
//! let fill = FillTensors::new(&fill, Device::Cpu);
//!
//! let images = Tensor::arange(2 * 3 * 64, (Kind::Float, Device::Cpu)).view([2, 3, 8, 8]);
//! let mixed = fill.mix(&images);
//! // Any network and any distance can be used; here an image is its own representation.
//! let (queries, keys) = (mixed.flatten(1, -1), images.flatten(1, -1));
//! let distance = |queries: &Tensor| Distance::Cosine.of(queries, &keys, None);
//! let [own, partner] = soft_distance(distance, &queries, &fill.partner_of);
//! let loss = own * fill.own + partner * (1.0 - fill.own);
//! assert!(loss.double_value(&[]) < 0.0);
//! # Ok::<(), bauta_masking::MaskError>(())
//! ```

mod distance;
mod error;
mod fill;
mod heads;
mod method;
mod momentum;
mod network;
mod queue;
mod unmix;

pub use distance::{Distance, info_nce, soft_distance, unit};
pub use error::SiameseError;
pub use fill::FillTensors;
pub use method::{Method, SiameseConfig};
pub use network::{Seen, Shuffle, Siamese};
pub use queue::Queue;
pub use unmix::{unmix, unmix_partner_of};
