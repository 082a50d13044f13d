//! A convolutional classifier as teacher: its feature map, resampled to the token grid.

use bauta_backbones::{EfficientNetLite0, FeatureStride, ImageNormalization};
use bauta_masking::Grid;
use tch::{Device, Tensor};

use super::Teacher;
use crate::{TargetError, resize};

/// EfficientNet-Lite0's features at one stride.
#[derive(Debug)]
pub struct ConvolutionalTeacher {
    network: EfficientNetLite0,
    normalization: ImageNormalization,
    stride: FeatureStride,
    image_size: [usize; 2],
    grid: Grid,
}

impl ConvolutionalTeacher {
    /// Takes the network and its device, the stride of the predicted map, the size [height, width]
    /// of the network's images, and the student's grid, to which the map is resampled.
    ///
    /// # Errors
    /// [`TargetError::ImageSize`] when the images are smaller than one cell of the map.
    pub fn new(
        network: EfficientNetLite0,
        device: Device,
        stride: FeatureStride,
        image_size: [usize; 2],
        grid: Grid,
    ) -> Result<Self, TargetError> {
        let [height, width] = image_size;
        if height.min(width) < stride.pixels() {
            return Err(TargetError::ImageSize { height, width, stride: stride.pixels() });
        }
        let normalization = EfficientNetLite0::normalization(device);
        Ok(Self { network, normalization, stride, image_size, grid })
    }
}

impl Teacher for ConvolutionalTeacher {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn dim(&self) -> usize {
        self.stride.channels()
    }

    fn has_class_token(&self) -> bool {
        false
    }

    /// Interpolates the map bilinearly between the centres of its cells.
    fn features(&self, pixels: &Tensor) -> Result<Tensor, TargetError> {
        let _no_grad = tch::no_grad_guard();
        let size = pixels.size();
        if size.len() != 4 || size[1] != 3 {
            let images = size.get(1).map_or(0, |&channels| channels as usize);
            return Err(TargetError::Channels { teacher: 3, images });
        }
        let images = resize(&self.normalization.normalize(pixels), self.image_size);
        let map = self.network.forward_features(&images, self.stride);
        let wanted = [self.grid.height() as i64, self.grid.width() as i64];
        let map = match map.size()[2..] == wanted {
            true => map,
            false => map.upsample_bilinear2d(wanted, false, None::<f64>, None::<f64>),
        };
        Ok(map.flatten(2, 3).transpose(1, 2))
    }
}
