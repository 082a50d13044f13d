//! Transformers as teachers: random, trained here, imported, or a former student.

use bauta_backbones::{Encode, ImageEncoder, ImageNormalization};
use bauta_masking::Grid;
use tch::Tensor;

use super::Teacher;
use crate::{TargetError, resize};

/// A frozen transformer whose tokens are predicted.
#[derive(Debug)]
pub struct EncoderTeacher {
    encoder: Box<dyn ImageEncoder>,
    normalization: ImageNormalization,
    final_norm: bool,
}

impl EncoderTeacher {
    /// Takes an encoder, how its images are normalised, and whether its final norm is
    /// applied; dBOT and the ports of MaskDistill leave it out.
    ///
    /// # Errors
    /// [`TargetError::Grid`] when its tokens do not lie on the student's `grid`,
    /// [`TargetError::Channels`] when encoder and normalisation differ in channels.
    pub fn new(
        encoder: Box<dyn ImageEncoder>,
        normalization: ImageNormalization,
        final_norm: bool,
        grid: Grid,
    ) -> Result<Self, TargetError> {
        if encoder.grid() != grid {
            let [height, width] = encoder.image_size();
            let (teacher, student) = (encoder.grid(), grid);
            return Err(TargetError::Grid { teacher, student, height, width });
        }
        if encoder.channels() != normalization.channels() {
            let (teacher, images) = (encoder.channels(), normalization.channels());
            return Err(TargetError::Channels { teacher, images });
        }
        Ok(Self { encoder, normalization, final_norm })
    }
}

impl Teacher for EncoderTeacher {
    fn grid(&self) -> Grid {
        self.encoder.grid()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn has_class_token(&self) -> bool {
        true
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor, TargetError> {
        let _no_grad = tch::no_grad_guard();
        let images = resize(&self.normalization.normalize(pixels), self.encoder.image_size());
        let how = Encode { final_norm: self.final_norm, ..Encode::whole() };
        let tokens = self.encoder.encode(&images, how);
        tokens.map_err(|error| TargetError::Teacher(error.to_string()))
    }
}
