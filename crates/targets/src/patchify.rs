//! Images as rows of patch pixels, and back (MAE §3, "Reconstruction target").

use bauta_masking::Grid;
use tch::Tensor;

use crate::TargetError;

/// Cuts images [B, C, h·p, w·p] into [B, h·w, p·p·C].
///
/// Within a patch the order is (row, column, channel), channel fastest. This
/// differs from the patch embedding's weight, which is (channel, row, column).
///
/// # Errors
/// [`TargetError::Shape`] unless the images are [B, C, h·p, w·p].
///
/// ```
/// use bauta_masking::Grid;
/// use tch::{Device, Kind, Tensor};
///
/// let image = Tensor::arange(48, (Kind::Float, Device::Cpu)).view([1, 3, 4, 4]);
/// let patches = bauta_targets::patchify(&image, Grid::image(2, 2)?)?;
/// let first: Vec<f32> = patches.get(0).get(0).try_into()?;
/// assert_eq!(first, [0., 16., 32., 1., 17., 33., 4., 20., 36., 5., 21., 37.]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn patchify(images: &Tensor, grid: Grid) -> Result<Tensor, TargetError> {
    let (h, w) = (grid.height() as i64, grid.width() as i64);
    let size = images.size();
    let &[batch, channels, height, width] = size.as_slice() else {
        return Err(TargetError::Shape { found: size, expected: "images [B, C, H, W]".into() });
    };
    let p = height / h;
    if p == 0 || height != h * p || width != w * p {
        let expected = format!("images of {h} × {w} square patches");
        return Err(TargetError::Shape { found: size, expected });
    }
    Ok(images.reshape([batch, channels, h, p, w, p]).permute([0, 2, 4, 3, 5, 1]).reshape([
        batch,
        h * w,
        p * p * channels,
    ]))
}

/// Puts patches [B, h·w, p·p·C] back together as images [B, C, h·p, w·p].
///
/// # Errors
/// [`TargetError::Shape`] unless the rows are square patches on `grid`.
pub fn unpatchify(patches: &Tensor, grid: Grid, channels: usize) -> Result<Tensor, TargetError> {
    let (h, w, channels) = (grid.height() as i64, grid.width() as i64, channels as i64);
    let size = patches.size();
    let side = |values: i64| ((values / channels) as f64).sqrt() as i64;
    match size.as_slice() {
        &[batch, tokens, values] if tokens == h * w && values == channels * side(values).pow(2) => {
            let p = side(values);
            Ok(patches
                .reshape([batch, h, w, p, p, channels])
                .permute([0, 5, 1, 3, 2, 4])
                .reshape([batch, channels, h * p, w * p]))
        }
        _ => {
            let expected = format!("patches [B, {}, p·p·{channels}]", h * w);
            Err(TargetError::Shape { found: size, expected })
        }
    }
}
