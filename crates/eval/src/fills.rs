//! The inputs of siamese networks: image, partner, mask, and mixed image (MixMask figure 1).

use tch::{Kind, Tensor};

use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// Paints a group of panels for each image: the image, its partner, the mask (white marks the
/// image's own pixels), and the mixed image.
///
/// `pixels` and `partners` are u8 [N, C, H, W], `masked` is bool [1, 1, H, W], `mixed`
/// [N, C, H, W] in [0, 1].
///
/// # Errors
/// [`EvalError::Kind`] for other kinds of pixels, and [`EvalError::Unsuitable`] when the shapes
/// do not agree.
pub fn fill_sheet(
    [pixels, partners]: [&Tensor; 2],
    masked: &Tensor,
    mixed: &Tensor,
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let own = unit_values("own images", pixels)?;
    let partners = unit_values("partners", partners)?;
    let size = own.size();
    let mask_fits = size.len() == 4 && masked.size() == [1, 1, size[2], size[3]];
    if !mask_fits || partners.size() != size || mixed.size() != size {
        return Err(EvalError::Unsuitable(format!(
            "images {size:?}, partners {:?}, a mask {:?} and mixed images {:?} do not go together",
            partners.size(),
            masked.size(),
            mixed.size()
        )));
    }
    let white = masked.logical_not().to_kind(Kind::Float).expand(&size[..], false);
    Ok(layout.paint(&Tensor::stack(&[own, partners, white, mixed.to_kind(Kind::Float)], 1)))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_group_has_four_panels_and_shapes_must_agree() {
        let pixels = Tensor::full([2, 1, 3, 4], 255, (Kind::Uint8, Device::Cpu));
        let masked = Tensor::zeros([1, 1, 3, 4], (Kind::Bool, Device::Cpu));
        let mixed = Tensor::ones([2, 1, 3, 4], (Kind::Float, Device::Cpu));
        let layout = PictureLayout { columns: 1, min_height: 3, gap: 1 };
        let sheet = fill_sheet([&pixels; 2], &masked, &mixed, &layout).unwrap();
        assert_eq!(sheet.dimensions(), (4 * 5 + 3, 2 * 5 + 2));
        // Nothing is masked, so all pixels are white.
        assert!(sheet.image().pixels().all(|pixel| pixel.0 == [255; 3]));
        let narrow = masked.narrow(3, 0, 3);
        let refused = fill_sheet([&pixels; 2], &narrow, &mixed, &layout).unwrap_err();
        assert!(refused.to_string().contains("do not go together"), "{refused}");
    }
}
