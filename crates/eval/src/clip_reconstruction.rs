//! Reconstructions of clips by a masked model: original, visible patches, and the prediction with
//! the visible patches pasted over it, as a sheet of all frames and as an animation.

use tch::{Kind, Tensor};

use crate::encoded::check_finite;
use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// Brightness of a masked patch.
const HIDDEN: f64 = 0.5;

/// The predicted frames of clips: originals, visible patches and predictions.
#[derive(Debug)]
pub struct ClipReconstructions {
    /// Original, masked and pasted, [N, 3, C, F, H, W].
    panels: Tensor,
}

impl ClipReconstructions {
    /// Takes the original frames of clips as u8 pixels and their predictions in [0, 1], both
    /// [N, C, F, H, W] with one or three channels, and masks [N, 1, F, H, W] (1 is masked).
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the shapes disagree or there is no frame;
    /// [`EvalError::Kind`] unless the originals are u8; [`EvalError::NotFinite`] when a
    /// prediction is NaN or infinite.
    pub fn new(original: &Tensor, predicted: &Tensor, mask: &Tensor) -> Result<Self, EvalError> {
        let (what, found) = ("original frames", original.size());
        let &[n, 1 | 3, f, h, w] = found.as_slice() else {
            let expected = "[N, 1 or 3, F, H, W]".to_owned();
            return Err(EvalError::Shape { what, found, expected });
        };
        if n * f * h * w == 0 {
            let expected = "at least one frame".to_owned();
            return Err(EvalError::Shape { what, found, expected });
        }
        if predicted.size() != found {
            let (what, expected) = ("predicted frames", format!("{found:?} as the originals"));
            return Err(EvalError::Shape { what, found: predicted.size(), expected });
        }
        if mask.size() != [n, 1, f, h, w] {
            let expected = format!("[{n}, 1, {f}, {h}, {w}]");
            return Err(EvalError::Shape { what: "mask", found: mask.size(), expected });
        }
        check_finite("predicted frames", predicted)?;
        let original = unit_values(what, original)?;
        let hidden = mask.to_device(original.device()).to_kind(Kind::Bool);
        let predicted = predicted.detach().to_device(original.device()).to_kind(Kind::Float);
        let masked = original.masked_fill(&hidden, HIDDEN);
        let pasted = predicted.where_self(&hidden, &original);
        Ok(Self { panels: Tensor::stack(&[original, masked, pasted], 1) })
    }

    /// A sheet with three rows per clip (original, masked, reconstruction) and one column per
    /// frame.
    pub fn sheet(&self, min_height: usize) -> Picture {
        let [n, rows, c, f, h, w] = self.sides();
        let frames = self.panels.permute([0, 1, 3, 2, 4, 5]).reshape([n * rows, f, c, h, w]);
        PictureLayout { columns: 1, min_height, gap: 2 }.paint(&frames)
    }

    /// One picture per frame: a triple of original, masked and reconstruction for each clip.
    pub fn frames(&self, min_height: usize) -> Vec<Picture> {
        let layout = PictureLayout { columns: 2, min_height, gap: 2 };
        (0..self.sides()[3]).map(|frame| layout.paint(&self.panels.select(3, frame))).collect()
    }

    fn sides(&self) -> [i64; 6] {
        self.panels.size().try_into().expect("panels have six dimensions")
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn case() -> (Tensor, Tensor, Tensor) {
        let original = Tensor::full([2, 1, 3, 4, 4], 255, (Kind::Uint8, Device::Cpu));
        let predicted = Tensor::zeros([2, 1, 3, 4, 4], (Kind::Float, Device::Cpu));
        let mask = Tensor::zeros([2, 1, 3, 4, 4], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(2, 1, 1).fill_(1.0);
        (original, predicted, mask)
    }

    #[test]
    fn hidden_pixels_are_grey_and_then_predicted() {
        let (original, predicted, mask) = case();
        let shown = ClipReconstructions::new(&original, &predicted, &mask).unwrap();
        let mean = |panel: i64, frame: i64| {
            shown.panels.get(0).get(panel).select(1, frame).mean(Kind::Float).double_value(&[])
        };
        assert_eq!([mean(0, 1), mean(1, 1), mean(2, 1)], [1.0, 0.5, 0.0]);
        assert_eq!([mean(0, 0), mean(1, 0), mean(2, 0)], [1.0; 3]);
        assert_eq!(shown.frames(4).len(), 3);
        let (width, height) = shown.sheet(4).dimensions();
        assert!(width >= 12 && height >= 24, "{width} × {height}");
    }

    #[test]
    fn clips_in_colour_are_painted() {
        let original = Tensor::arange(3 * 2 * 16, (Kind::Uint8, Device::Cpu));
        let original = original.view([1, 3, 2, 4, 4]);
        let predicted = original.to_kind(Kind::Float) / 255.0;
        let mask = Tensor::ones([1, 1, 2, 4, 4], (Kind::Float, Device::Cpu));
        let shown = ClipReconstructions::new(&original, &predicted, &mask).unwrap();
        // The first panel begins after a margin of four pixels; channels are 32 apart.
        let sheet = shown.sheet(4);
        assert_eq!(sheet.image().get_pixel(4, 4).0, [0, 32, 64]);
        assert_eq!(shown.frames(4)[1].image().get_pixel(4, 4).0, [16, 48, 80]);
    }

    #[test]
    fn a_moving_picture_holds_every_frame() {
        let (original, predicted, mask) = case();
        let shown = ClipReconstructions::new(&original, &predicted, &mask).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moving.png");
        Picture::write_moving(&shown.frames(8), 250, &path).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let mut frames = Vec::new();
        for _ in 0..3 {
            reader.next_frame(&mut bytes).unwrap();
            frames.push(bytes.clone());
        }
        assert!(frames[0] != frames[1] && frames[0] == frames[2]);
        assert!(Picture::write_moving(&[], 250, &path).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (original, predicted, mask) = case();
        assert!(ClipReconstructions::new(&original, &predicted.narrow(2, 0, 2), &mask).is_err());
        assert!(ClipReconstructions::new(&original, &predicted, &mask.narrow(2, 0, 2)).is_err());
        assert!(ClipReconstructions::new(&predicted, &predicted, &mask).is_err());
        let broken = predicted.full_like(f64::NAN);
        assert!(ClipReconstructions::new(&original, &broken, &mask).is_err());
    }
}
