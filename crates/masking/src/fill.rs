//! Fills: which cells of an image keep its own pixels, and where the others come from (MixMask,
//! arXiv 2210.11456).
//!
//! A masked cell is not erased but shows the same cell of a *partner*, another image of the
//! batch. All images of a step share one mask. As everywhere here, `true` is masked: such a
//! pixel is the partner's. λ, the share of an image that is its own, is counted on the pixels,
//! because cells of a grid that does not divide the image differ in size.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::{Grid, MaskError};
use bauta_streams::RandomStream;

mod cells;

/// Strategies for choosing the own cells, by the names that recipes use.
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
pub enum FillStrategy {
    /// Rectangles that keep their own pixels, at most ⌊own · cells⌋ cells and at least one: the
    /// released generator, with its smallest area and its sides limited to what fits.
    #[default]
    Block,
    /// Each cell independently, drawn again while all or none keep their own pixels. The released
    /// code's `mask_lam` is here 1 − own.
    Discrete,
    /// The released generator unchanged, for parity: on small grids it often leaves no own cell, on
    /// 2 × 2 with own = 0.5 in 94 of 100 draws.
    ReleasedBlock,
}

/// Which images fill the masked cells of each image of a batch.
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
pub enum Partners {
    /// The batch from back to front. The middle image of an odd batch is its own partner.
    #[default]
    Reversal,
    /// A random permutation, which may leave images in place.
    Permutation,
}

/// Draws [`Fill`]s for images of one size.
#[derive(Clone, Debug)]
pub struct Filler {
    strategy: FillStrategy,
    grid: Grid,
    image: [usize; 2],
    own: f64,
}

impl Filler {
    /// Fills images of `image` = [height, width] pixels on a grid of cells, of which the fraction
    /// `own` keeps the image's own pixels.
    ///
    /// # Errors
    /// [`MaskError::FillGrid`] when the grid is finer than the image or has more than one time
    /// step, [`MaskError::Own`] unless 0 < `own` < 1, and [`MaskError::Degenerate`] when
    /// [`FillStrategy::Block`] would leave no cell or every cell own.
    pub fn new(
        strategy: FillStrategy,
        grid: Grid,
        image: [usize; 2],
        own: f64,
    ) -> Result<Self, MaskError> {
        let [height, width] = image;
        if grid.time() != 1 || grid.height() > height || grid.width() > width {
            let grid = [grid.height(), grid.width()];
            return Err(MaskError::FillGrid { grid, height, width });
        }
        if !(own > 0.0 && own < 1.0) {
            return Err(MaskError::Own(own));
        }
        let filler = Self { strategy, grid, image, own };
        let (tokens, most) = (grid.tokens(), filler.most_own());
        let degenerate = match strategy {
            FillStrategy::Block => most == 0 || most == tokens,
            // With at least two cells, some draws have own and masked cells.
            FillStrategy::Discrete => tokens < 2,
            FillStrategy::ReleasedBlock => false,
        };
        if degenerate {
            let (ratio, masked) = (1.0 - own, tokens - most);
            return Err(MaskError::Degenerate { ratio, tokens, visible: most, masked });
        }
        Ok(filler)
    }

    /// The cells of an image.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Draws the mask of a step and the partners of a batch of `samples` images.
    ///
    /// # Panics
    /// When the batch is empty.
    pub fn draw(&self, partners: Partners, samples: usize, stream: &mut RandomStream) -> Fill {
        assert!(samples > 0, "a batch without images has no partners");
        let mut own = vec![false; self.grid.tokens()];
        loop {
            match self.strategy {
                FillStrategy::Discrete => cells::discrete(self.own, stream, &mut own),
                FillStrategy::Block => {
                    cells::rectangles(self.grid, self.most_own(), true, stream, &mut own);
                }
                FillStrategy::ReleasedBlock => {
                    cells::rectangles(self.grid, self.most_own(), false, stream, &mut own);
                    break;
                }
            }
            if own.contains(&true) && own.contains(&false) {
                break;
            }
        }
        let masked = own.into_iter().map(|own| !own).collect();
        let partners = match partners {
            Partners::Reversal => (0..samples as i64).rev().collect(),
            Partners::Permutation => {
                let mut order: Vec<i64> = (0..samples as i64).collect();
                stream.shuffle(&mut order);
                order
            }
        };
        Fill::new(self.grid, masked, self.image, partners)
    }

    /// The maximum number of own cells, ⌊own · cells⌋, as in the released code.
    fn most_own(&self) -> usize {
        (self.own * self.grid.tokens() as f64) as usize
    }
}

/// The mask of one step, and the partner of each image of its batch.
///
/// ```
/// use bauta_masking::{Fill, Grid};
///
/// // Two cells of an image of 2 × 4 pixels: the left one is its own.
/// let fill = Fill::new(Grid::image(1, 2)?, vec![false, true], [2, 4], vec![1, 2, 0]);
/// assert_eq!(fill.pixels(), [false, false, true, true, false, false, true, true]);
/// assert_eq!(fill.own(), 0.5);
/// // Image 0 is the partner of image 2, image 1 of image 0.
/// assert_eq!(fill.partner_of(), [2, 0, 1]);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    grid: Grid,
    image: [usize; 2],
    cells: Vec<bool>,
    pixels: Vec<bool>,
    own: f64,
    partners: Vec<i64>,
    partner_of: Vec<i64>,
}

impl Fill {
    /// Creates a fill from the mask of a grid's cells (`true` is masked), the image's
    /// [height, width] in pixels, and each image's partner in the batch.
    ///
    /// # Panics
    /// When the number of cells is not the grid's, or the partners are not a permutation.
    pub fn new(grid: Grid, cells: Vec<bool>, image: [usize; 2], partners: Vec<i64>) -> Self {
        assert_eq!(cells.len(), grid.tokens(), "one value per cell");
        let mut partner_of = vec![-1; partners.len()];
        for (sample, &partner) in (0..).zip(&partners) {
            let place = &mut partner_of[partner as usize];
            assert!(*place < 0, "{partner} is the partner of two images");
            *place = sample;
        }
        let [height, width] = image;
        let mut pixels = Vec::with_capacity(height * width);
        for y in 0..height {
            let row = &cells[y * grid.height() / height * grid.width()..][..grid.width()];
            pixels.extend((0..width).map(|x| row[x * grid.width() / width]));
        }
        let own = pixels.iter().filter(|&&masked| !masked).count();
        let own = own as f64 / pixels.len() as f64;
        Self { grid, image, cells, pixels, own, partners, partner_of }
    }

    /// The grid of cells.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The image's [height, width] in pixels.
    pub fn image(&self) -> [usize; 2] {
        self.image
    }

    /// The mask of the cells, in the order of [`Grid`]; `true` is masked.
    pub fn cells(&self) -> &[bool] {
        &self.cells
    }

    /// The mask of the pixels, row by row: each pixel has the value of its cell; `true` is masked.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// λ: the fraction of an image's pixels that are its own, in [0, 1].
    pub fn own(&self) -> f64 {
        self.own
    }

    /// The image whose pixels fill the masked cells of each image.
    pub fn partners(&self) -> &[i64] {
        &self.partners
    }

    /// The image whose masked cells each image fills: the inverse of [`Self::partners`].
    pub fn partner_of(&self) -> &[i64] {
        &self.partner_of
    }

    /// The same fill with own and masked cells swapped.
    #[must_use]
    pub fn complement(&self) -> Self {
        let not = |mask: &[bool]| mask.iter().map(|masked| !masked).collect();
        Self {
            cells: not(&self.cells),
            pixels: not(&self.pixels),
            own: 1.0 - self.own,
            ..self.clone()
        }
    }
}
