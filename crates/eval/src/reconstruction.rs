//! Reconstructions of a masked model (MAE figure 2): original, visible patches, and the prediction
//! with the visible patches pasted over it.
//!
//! Predictions of visible patches do not enter the loss, so they are meaningless and
//! never shown.

use bauta_masking::Grid;
use tch::{Kind, Tensor};

use crate::encoded::check_finite;
use crate::picture::{enlarge, unit_values};
use crate::{EvalError, Picture, PictureLayout};

/// Brightness of a masked patch.
const HIDDEN: f64 = 0.5;

/// Images, their predictions and their masks.
#[derive(Debug)]
pub struct Reconstructions {
    original: Tensor,
    predicted: Tensor,
    hidden: Tensor,
}

impl Reconstructions {
    /// Takes images as u8 pixels and predictions in [0, 1], both [N, C, H, W] with one
    /// or three channels, and masks [N, L] (1 is masked) over `grid`.
    ///
    /// Predictions are whole images, already un-normalised; values outside [0, 1]
    /// are clipped when painted.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the shapes disagree, `grid` does not divide the
    /// images, or there is no image; [`EvalError::Kind`] unless the originals are u8;
    /// [`EvalError::NotFinite`] when a prediction is NaN or infinite.
    pub fn new(
        original: &Tensor,
        predicted: &Tensor,
        mask: &Tensor,
        grid: Grid,
    ) -> Result<Self, EvalError> {
        Self::of_values(&unit_values("original images", original)?, predicted, mask, grid)
    }

    /// Like [`Self::new`], for originals with values in [0, 1].
    pub(crate) fn of_values(
        original: &Tensor,
        predicted: &Tensor,
        mask: &Tensor,
        grid: Grid,
    ) -> Result<Self, EvalError> {
        let found = original.size();
        let (rows, columns) = (grid.height() as i64, grid.width() as i64);
        let drawable = match found[..] {
            [n, 1 | 3, h, w] => n > 0 && h > 0 && w > 0 && h % rows == 0 && w % columns == 0,
            _ => false,
        };
        if !drawable {
            let expected =
                format!("[N, 1 or 3, H, W] with H a multiple of {rows} and W of {columns}");
            return Err(EvalError::Shape { what: "original images", found, expected });
        }
        if predicted.size() != found {
            let (what, expected) = ("predicted images", format!("{found:?} as the originals"));
            return Err(EvalError::Shape { what, found: predicted.size(), expected });
        }
        if grid.time() != 1 || mask.size() != [found[0], rows * columns] {
            let expected = format!("[{}, {}] over one image each", found[0], rows * columns);
            return Err(EvalError::Shape { what: "mask", found: mask.size(), expected });
        }
        check_finite("predicted images", predicted)?;
        let hidden = mask.to_device(original.device()).to_kind(Kind::Bool);
        let hidden =
            enlarge(&hidden.view([-1, 1, rows, columns]), found[2] / rows, found[3] / columns);
        Ok(Self {
            original: original.detach().to_kind(Kind::Float),
            predicted: predicted.detach().to_device(original.device()).to_kind(Kind::Float),
            hidden,
        })
    }

    /// The originals with grey in place of masked patches, [N, C, H, W].
    pub fn masked(&self) -> Tensor {
        self.original.masked_fill(&self.hidden, HIDDEN)
    }

    /// The predictions with the visible patches pasted over them, [N, C, H, W].
    pub fn pasted(&self) -> Tensor {
        self.predicted.where_self(&self.hidden, &self.original)
    }

    /// Paints a triple for each image: original, masked, reconstruction.
    pub fn paint(&self, layout: &PictureLayout) -> Picture {
        let panels = Tensor::stack(&[&self.original, &self.masked(), &self.pasted()], 1);
        layout.paint(&panels)
    }
}
