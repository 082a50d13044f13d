//! Errors in a mask's settings.

use thiserror::Error;

/// An unusable grid, ratio or noise. The message says what to change.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A grid without tokens.
    #[error("a grid needs at least one token on each side, got {time} × {height} × {width}")]
    EmptyGrid {
        /// Tokens along time.
        time: usize,
        /// Token rows.
        height: usize,
        /// Token columns.
        width: usize,
    },
    /// An image that cannot be cut into whole patches.
    #[error("an image of {height} × {width} pixels is not a multiple of the patch size {patch}")]
    PatchSize {
        /// Image height in pixels.
        height: usize,
        /// Image width in pixels.
        width: usize,
        /// Patch side in pixels.
        patch: usize,
    },
    /// A ratio outside (0, 1).
    #[error("ratio {0} must be in (0, 1)")]
    Ratio(f64),
    /// A ratio that leaves no visible or no masked token.
    #[error(
        "ratio {ratio} leaves {visible} visible and {masked} masked of {tokens} tokens; \
         at least one of each is needed"
    )]
    Degenerate {
        /// The ratio asked for.
        ratio: f64,
        /// Tokens in the grid, L.
        tokens: usize,
        /// Tokens that would stay visible, V.
        visible: usize,
        /// Tokens that would be masked, M.
        masked: usize,
    },
    /// Noise whose length is not samples × tokens.
    #[error("noise has {found} values; {samples} samples of {tokens} tokens need {}", samples * tokens)]
    NoiseLength {
        /// Values given.
        found: usize,
        /// Samples, B.
        samples: usize,
        /// Tokens per sample, L.
        tokens: usize,
    },
    /// Masks of one batch with different numbers of masked tokens.
    #[error(
        "sample {sample} masks {found} tokens and sample 0 masks {expected}; all samples of a \
         batch must mask the same number: use a strategy with an exact count"
    )]
    UnequalCounts {
        /// The first sample that differs.
        sample: usize,
        /// Its number of masked tokens.
        found: usize,
        /// Number of masked tokens of sample 0.
        expected: usize,
    },
    /// A ratio of the grid strategy that no square cell yields.
    #[error(
        "ratio {ratio} fits no regular grid on {height} × {width} tokens; {}",
        possible_ratios(possible)
    )]
    GridRatio {
        /// The ratio asked for.
        ratio: f64,
        /// Token rows.
        height: usize,
        /// Token columns.
        width: usize,
        /// The ratios that this grid can meet.
        possible: Vec<f64>,
    },
    /// Whole time steps cannot be masked: there is only one, or none would stay visible.
    #[error(
        "ratio {ratio} leaves {visible} of {steps} steps of time visible; the frame strategy \
         masks whole steps of a clip and needs at least one visible and one masked"
    )]
    Steps {
        /// The ratio asked for.
        ratio: f64,
        /// Tokens along time.
        steps: usize,
        /// Steps that would stay visible.
        visible: usize,
    },
    /// A fraction of own cells outside (0, 1).
    #[error("the own fraction {0} must be in (0, 1)")]
    Own(f64),
    /// Cells smaller than a pixel, or spanning several time steps.
    #[error(
        "a grid of {} × {} cells does not fit an image of {height} × {width} pixels; each cell \
         needs at least one pixel",
        grid[0],
        grid[1]
    )]
    FillGrid {
        /// Rows and columns of cells.
        grid: [usize; 2],
        /// Image height in pixels.
        height: usize,
        /// Image width in pixels.
        width: usize,
    },
    /// A clip that cannot be cut into whole spacetime patches.
    #[error("a clip of {frames} frames is not a multiple of the {patch} frames of a patch")]
    PatchFrames {
        /// Frames of the clip.
        frames: usize,
        /// Frames of a patch.
        patch: usize,
    },
}

fn possible_ratios(possible: &[f64]) -> String {
    if possible.is_empty() {
        return "no ratio fits, because its sides have no common divisor".into();
    }
    let rounded = |ratio: &f64| ((ratio * 1e4).round() / 1e4).to_string();
    let list = possible.iter().map(rounded).collect::<Vec<_>>().join(", ");
    format!("possible ratios are {list}")
}
