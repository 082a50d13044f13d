//! A length of both sides, as Hugging Face's files write it.

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A length in pixels for both sides, or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels or [height, width]")]
pub enum Sides {
    /// Both sides.
    Square(usize),
    /// `[height, width]`.
    Rectangle([usize; 2]),
}

impl Sides {
    /// The shortest form.
    pub fn new(height: usize, width: usize) -> Self {
        if height == width { Self::Square(height) } else { Self::Rectangle([height, width]) }
    }

    /// Height in pixels.
    pub fn height(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([height, _]) => height,
        }
    }

    /// Width in pixels.
    pub fn width(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([_, width]) => width,
        }
    }

    /// Whether both sides have the same length.
    pub(super) fn is_square(self) -> bool {
        self.height() == self.width()
    }

    pub(super) fn square(self, key: &str) -> Result<usize, ModelError> {
        if self.is_square() {
            return Ok(self.height());
        }
        let (height, width) = (self.height(), self.width());
        Err(ModelError::Config(format!("{key} [{height}, {width}] is not square")))
    }
}
