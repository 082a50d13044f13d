//! Masks: which tokens a masked model sees.
//!
//! A [`Grid`] says how an image or clip is cut into tokens, a [`MaskStrategy`] draws one sample's
//! mask from its own [`RandomStream`](bauta_streams::RandomStream), and a [`MaskPlan`] holds the
//! masks of a batch as the index lists that a model gathers with. Masks are drawn on the host and
//! passed to the model; no model of this project samples one. A [`Fill`] says which cells of an
//! image are filled from another image, and from which one. `true` and 1 mean *masked* everywhere.
//!
//! ```
//! use bauta_masking::{Grid, MaskPlan, Strategy};
//!
//! // 224 × 224 pixels in patches of 16: 14 × 14 tokens, three quarters masked.
//! let grid = Grid::of_image(224, 224, 16)?;
//! let strategy = Strategy::Random.build(grid, 0.75)?;
//! let plan = MaskPlan::draw(&*strategy, 0, 0, &[0, 1, 2, 3])?;
//! assert_eq!((plan.samples(), plan.visible_count(), plan.masked_count()), (4, 49, 147));
//! # Ok::<(), bauta_masking::MaskError>(())
//! ```

mod error;
mod fill;
mod grid;
mod plan;
mod strategy;
mod unmix;
mod words;

pub use error::MaskError;
pub use fill::{Fill, FillStrategy, Filler, Partners};
pub use grid::Grid;
pub use plan::{MaskPlan, visible_count};
pub use strategy::*;
pub use unmix::UnMix;
pub use words::{MaskScope, WordMask, WordPlan};
