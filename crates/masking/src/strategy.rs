//! Masking strategies: each draws one mask from a grid and a sample's random stream.
//!
//! A new strategy needs one file next to the others and one variant of [`Strategy`].

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::{Grid, MaskError};
use bauta_streams::RandomStream;

mod block;
mod frame;
mod grid;
mod random;
mod tube;

pub use block::BlockMask;
pub use frame::FrameMask;
pub use grid::GridMask;
pub use random::RandomMask;
pub use tube::TubeMask;

/// Draws one sample's mask.
///
/// Implement this for a mask of your own; [`crate::MaskPlan::draw`] turns it
/// into the plan of a batch.
pub trait MaskStrategy: Send + Sync {
    /// The geometry that masks are drawn on.
    fn grid(&self) -> Grid;

    /// Overwrites `mask` (length L, index order of [`Grid`]): `true` is masked.
    ///
    /// Must depend on nothing but `self` and `stream`.
    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]);
}

/// The strategies by the names that recipes use, in the order of the documentation.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Strategy {
    /// Uniform without replacement, independent of space and time: [`RandomMask`].
    #[default]
    Random,
    /// Rectangles, to an exact count: [`BlockMask::new`].
    Block,
    /// One token of each square cell stays visible: [`GridMask`].
    Grid,
    /// The same positions in every time step of a clip: [`TubeMask`]; for an image, random.
    Tube,
    /// Whole steps of a clip: [`FrameMask`].
    Frame,
}

impl Strategy {
    /// Builds the strategy for a grid and a mask ratio.
    ///
    /// # Errors
    /// [`MaskError`] when the ratio cannot be met on this grid.
    pub fn build(self, grid: Grid, ratio: f64) -> Result<Box<dyn MaskStrategy>, MaskError> {
        Ok(match self {
            Self::Random => Box::new(RandomMask::new(grid, ratio)?),
            Self::Block => Box::new(BlockMask::new(grid, ratio)?),
            Self::Grid => Box::new(GridMask::new(grid, ratio)?),
            Self::Tube => Box::new(TubeMask::new(grid, ratio)?),
            Self::Frame => Box::new(FrameMask::new(grid, ratio)?),
        })
    }
}
