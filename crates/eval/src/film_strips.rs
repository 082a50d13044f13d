//! Sheets of clips, frame by frame.

use tch::Tensor;

use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// A sheet of u8 clips [N, C, T, H, W], with the frames of each clip side by side.
///
/// # Errors
/// [`EvalError::Shape`] unless `clips` are clips with 1 or 3 channels, [`EvalError::Kind`] unless
/// they are u8.
pub fn film_strips(clips: &Tensor, layout: &PictureLayout) -> Result<Picture, EvalError> {
    let found = clips.size();
    if !matches!(found[..], [n, 1 | 3, t, h, w] if n * t * h * w > 0) {
        let expected = "[N, 1 or 3, T, H, W]".into();
        return Err(EvalError::Shape { what: "clips of film strips", found, expected });
    }
    Ok(layout.paint(&unit_values("clips of film strips", &clips.transpose(1, 2))?))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_row_a_clip_and_a_panel_a_frame() {
        let clips = Tensor::zeros([3, 3, 5, 8, 8], (Kind::Uint8, Device::Cpu));
        let layout = PictureLayout { columns: 1, min_height: 8, gap: 1 };
        let (width, height) = film_strips(&clips, &layout).unwrap().dimensions();
        assert!(width >= 5 * 8 && height >= 3 * 8 && width < 6 * 10 && height < 4 * 12);
        assert!(film_strips(&clips.select(2, 0), &layout).is_err());
    }
}
