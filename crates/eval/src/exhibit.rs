//! The pictures of a report, with captions: reconstructions, attention and nearest neighbours.

use bauta_masking::Grid;
use bauta_report::scatter;
use tch::Tensor;

use crate::{
    AttentionMaps, EvalError, Picture, PictureLayout, Projection, Reconstructions, contact_sheet,
    nearest,
};

/// Neighbours shown for each image, and images shown.
const NEIGHBOURS: usize = 7;
const QUERIES: usize = 12;

/// A picture file and its caption.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// The file's name, ending in `.png` or `.svg`.
    pub file: &'static str,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// What the picture shows.
    pub caption: String,
}

impl Exhibit {
    /// A picture as PNG.
    ///
    /// # Errors
    /// [`EvalError::Encode`] when it is too large for PNG.
    pub fn new(
        file: &'static str,
        picture: &Picture,
        caption: impl Into<String>,
    ) -> Result<Self, EvalError> {
        Ok(Self { file, bytes: picture.png(file.as_ref())?, caption: caption.into() })
    }

    /// Pictures of one size as an animated PNG, each shown for `delay` milliseconds.
    ///
    /// # Errors
    /// As [`Picture::write_moving`].
    pub fn moving(
        file: &'static str,
        frames: &[Picture],
        delay: u16,
        caption: impl Into<String>,
    ) -> Result<Self, EvalError> {
        let bytes = Picture::moving_png(frames, delay, file.as_ref())?;
        Ok(Self { file, bytes, caption: caption.into() })
    }

    /// `reconstructions.png`, from the arguments of [`Reconstructions::new`].
    ///
    /// # Errors
    /// As [`Reconstructions::new`].
    pub fn reconstructions(
        pixels: &Tensor,
        predicted: &Tensor,
        mask: &Tensor,
        grid: Grid,
    ) -> Result<Self, EvalError> {
        let shown = Reconstructions::new(pixels, predicted, mask, grid)?;
        Self::new(
            "reconstructions.png",
            &shown.paint(&PictureLayout::default()),
            "Images: original, what the encoder saw, reconstruction of the hidden patches (visible \
             ones pasted back; standardised predictions are brought back with each patch's true \
             mean and standard deviation).",
        )
    }

    /// `attention.png`, from the arguments of [`AttentionMaps::new`] and
    /// [`AttentionMaps::with_features`].
    ///
    /// # Errors
    /// As these two functions.
    pub fn attention(
        pixels: &Tensor,
        attention: &Tensor,
        patches: &Tensor,
        grid: Grid,
    ) -> Result<Self, EvalError> {
        let maps = AttentionMaps::new(pixels, attention, grid)?.with_features(patches)?;
        Self::new(
            "attention.png",
            &maps.paint(&PictureLayout::default()),
            "Images: original; where the last block's class token looks, mean of the heads, \
             spread to the full range in each image; the patches' features, less the mean of \
             each place, whose first three principal components over all images shown are red, \
             green and blue.",
        )
    }

    /// `neighbours.png`: the first of the images, u8 pixels [N, C, H, W], each followed by those
    /// with the most similar features [N, D]; `None` if there are too few images.
    ///
    /// # Errors
    /// As [`nearest`] and [`contact_sheet`].
    pub fn neighbours(pixels: &Tensor, features: &Tensor) -> Result<Option<Self>, EvalError> {
        let samples = pixels.size()[0] as usize;
        if samples <= NEIGHBOURS {
            return Ok(None);
        }
        let neighbours = nearest(features, QUERIES.min(samples), NEIGHBOURS)?;
        let layout = PictureLayout { columns: 1, min_height: 64, ..PictureLayout::default() };
        let sheet = contact_sheet(pixels, &neighbours, &layout)?;
        let caption = format!(
            "Images, each followed by those of the first {samples} whose features are the most \
             alike (standardised, by cosine)."
        );
        Self::new("neighbours.png", &sheet, caption).map(Some)
    }

    /// `projection.svg`: features [N, D] on their first two principal components, coloured by
    /// class, where labels are indices of `classes`; `None` for fewer than two samples.
    ///
    /// # Errors
    /// As [`Projection::new`], and when it cannot be drawn.
    pub fn projection(
        features: &Tensor,
        labels: &[i64],
        classes: &[String],
    ) -> Result<Option<Self>, EvalError> {
        let samples = labels.len();
        if samples < 2 {
            return Ok(None);
        }
        let projection = Projection::new(features, 2)?;
        let explained = [projection.explained[0], projection.explained[1]];
        let svg = scatter(&projection.coordinates(), labels, classes, explained)
            .map_err(|error| EvalError::Unsuitable(error.to_string()))?;
        let caption = format!(
            "Features of the first {samples} images on their two principal components, by class."
        );
        Ok(Some(Self { file: "projection.svg", bytes: svg.into_bytes(), caption }))
    }
}
