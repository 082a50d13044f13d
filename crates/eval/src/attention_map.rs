//! Attention weights of an encoder as a heat map over the image, and features of patches as
//! colours.

use bauta_masking::Grid;
use tch::{Kind, Tensor};

use crate::encoded::check_finite;
use crate::picture::{enlarge, unit_values};
use crate::{EvalError, Picture, PictureLayout, Projection};

/// Colours of heat from 0 to 1, equally spaced: dark blue through red to yellow.
const HEAT: [[f32; 3]; 5] = [
    [0.05, 0.03, 0.30],
    [0.45, 0.05, 0.50],
    [0.80, 0.20, 0.35],
    [0.98, 0.55, 0.20],
    [0.99, 0.95, 0.60],
];

/// Opacity of the heat over the grey image.
const COVER: f64 = 0.65;

/// Standard deviations from the mean at which a colour is at its maximum or at 0.
const SPREAD: f64 = 2.0;

/// The class token's attention to the patches, drawn over the images, with features next to it.
#[derive(Debug)]
pub struct AttentionMaps {
    original: Tensor,
    /// Heat in [0, 1] at the image's resolution, [N, H, W].
    heat: Tensor,
    grid: Grid,
    /// Colours in [0, 1] of each patch's features, [N, 3, H, W].
    features: Option<Tensor>,
}

impl AttentionMaps {
    /// Takes images as u8 pixels [N, C, H, W] and the last block's attention
    /// [N, heads, 1 + L, 1 + L], the class token first.
    ///
    /// The heads' mean is scaled to [0, 1] image by image and enlarged bilinearly.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when images, attention and grid do not fit together,
    /// [`EvalError::Kind`] unless the images are u8, [`EvalError::NotFinite`] for attention that is
    /// not finite.
    pub fn new(original: &Tensor, attention: &Tensor, grid: Grid) -> Result<Self, EvalError> {
        let found = original.size();
        let [count, 1 | 3, height, width] = found[..] else {
            let expected = "[N, 1 or 3, H, W]".into();
            return Err(EvalError::Shape { what: "original images", found, expected });
        };
        let tokens = 1 + grid.tokens() as i64;
        let found = attention.size();
        if found.len() != 4 || [found[0], found[2], found[3]] != [count, tokens, tokens] {
            let expected = format!("[{count}, heads, {tokens}, {tokens}]");
            return Err(EvalError::Shape { what: "attention", found, expected });
        }
        check_finite("attention", attention)?;
        let attention = attention.to_device(original.device());
        let of_class = attention.select(2, 0).narrow(2, 1, tokens - 1);
        let of_class = of_class.mean_dim([1].as_slice(), false, Kind::Float);
        let least = of_class.amin([1].as_slice(), true);
        let range = (of_class.amax([1].as_slice(), true) - &least).clamp_min(1e-12);
        let heat = ((of_class - least) / range)
            .view([count, 1, grid.height() as i64, grid.width() as i64])
            .upsample_bilinear2d([height, width], false, None, None)
            .squeeze_dim(1);
        let original = unit_values("original images", original)?;
        Ok(Self { original, heat, grid, features: None })
    }

    /// Adds a panel with the features of the patches [N, L, D] as colours: over all images
    /// together, the first three principal components are red, green and blue.
    ///
    /// With several images, the mean at each position is subtracted first, because features also
    /// encode a patch's position, which is the same in all images.
    ///
    /// A colour spans two standard deviations of its component on either side of the mean; the
    /// components' signs are [`Projection`]'s.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the features do not fit the images and the grid or D is below 3,
    /// [`EvalError::NotFinite`] for features that are not finite.
    pub fn with_features(self, patches: &Tensor) -> Result<Self, EvalError> {
        let [count, _, height, width] = self.original.size()[..] else {
            unreachable!("images have four dimensions")
        };
        let (found, tokens) = (patches.size(), self.grid.tokens() as i64);
        if found.len() != 3 || found[..2] != [count, tokens] || found[2] < 3 {
            let expected = format!("[{count}, {tokens}, D] with D at least 3");
            return Err(EvalError::Shape { what: "features of patches", found, expected });
        }
        check_finite("features of patches", patches)?;
        let patches = match count {
            1 => patches.shallow_clone(),
            _ => patches - patches.mean_dim([0].as_slice(), true, None),
        };
        let points = Projection::new(&patches.flatten(0, 1), 3)?.points;
        let points = points.to_device(self.original.device());
        let deviation = points.square().mean_dim([0].as_slice(), true, Kind::Float).sqrt();
        // A component of rounding errors alone stays in the middle.
        let least = deviation.amax([1].as_slice(), true) * 1e-3 + 1e-12;
        let scale = deviation.maximum(&least) * (2.0 * SPREAD);
        let colours = (points / scale + 0.5).clamp(0.0, 1.0);
        let [rows, columns] = [self.grid.height(), self.grid.width()].map(|side| side as i64);
        let colours = colours.view([count, rows, columns, 3]).permute([0, 3, 1, 2]);
        let features = enlarge(&colours, height / rows, width / columns);
        Ok(Self { features: Some(features), ..self })
    }

    /// Paints each image, then the heat over its grey version, then the features.
    pub fn paint(&self, layout: &PictureLayout) -> Picture {
        let size = self.original.size();
        let original = self.original.expand([size[0], 3, size[2], size[3]], false);
        let grey = original.mean_dim([1].as_slice(), true, Kind::Float);
        let heat = colours(&self.heat).permute([0, 3, 1, 2]);
        let covered = heat * COVER + grey * (1.0 - COVER);
        let mut panels = vec![original, covered];
        panels.extend(self.features.as_ref().map(Tensor::shallow_clone));
        layout.paint(&Tensor::stack(&panels, 1))
    }
}

/// Colours of heat [N, H, W] in [0, 1], giving [N, H, W, 3].
fn colours(heat: &Tensor) -> Tensor {
    let table = Tensor::from_slice(HEAT.as_flattened()).view([-1, 3]).to_device(heat.device());
    let place = heat.clamp(0.0, 1.0) * (HEAT.len() - 1) as f64;
    let below = place.floor().clamp_max((HEAT.len() - 2) as f64);
    let share = (&place - &below).unsqueeze(-1);
    let index = below.to_kind(Kind::Int64).flatten(0, -1);
    let shape: Vec<i64> = heat.size().into_iter().chain([3]).collect();
    let colour = |index: &Tensor| table.index_select(0, index).view(shape.as_slice());
    colour(&index) * (1.0 - &share) + colour(&(&index + 1)) * share
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn heat_goes_where_the_class_token_looks() {
        let grid = Grid::image(2, 2).unwrap();
        let attention = Tensor::zeros([1, 1, 5, 5], CPU);
        // The class token attends to the last patch.
        let _ = attention.get(0).get(0).get(0).get(4).fill_(1.0);
        let images = Tensor::full([1, 1, 4, 4], 128, (Kind::Uint8, Device::Cpu));
        let maps = AttentionMaps::new(&images, &attention, grid).unwrap();
        assert_eq!(maps.heat.double_value(&[0, 0, 0]), 0.0);
        assert_eq!(maps.heat.double_value(&[0, 3, 3]), 1.0);
        let layout = PictureLayout { columns: 1, min_height: 4, gap: 1 };
        let sheet = maps.paint(&layout);
        let hot = sheet.image().get_pixel(2 + 5 + 3, 2 + 3).0;
        let cold = sheet.image().get_pixel(2 + 5, 2).0;
        assert!(hot[0] > 200 && cold[0] < 80, "{hot:?} {cold:?}");
    }

    #[test]
    fn patches_of_like_features_have_one_colour_whatever_the_sign_of_the_directions() {
        let grid = Grid::image(2, 2).unwrap();
        let images = Tensor::full([2, 3, 4, 4], 128, (Kind::Uint8, Device::Cpu));
        let attention = Tensor::full([2, 1, 5, 5], 0.2, CPU);
        // Two kinds of patches: the first of one image and the last of the other, and the rest.
        let kinds = Tensor::from_slice(&[1_i64, 0, 0, 0, 0, 0, 0, 1]).view([2, 4, 1]);
        let (one, other) = ([4.0_f32, 1.0, 0.0, 0.0], [0.0_f32, 0.0, 0.0, 2.0]);
        let patches =
            Tensor::from_slice(&one).where_self(&kinds.ne(0), &Tensor::from_slice(&other));
        // An offset that is the same in every image does not matter.
        let places = Tensor::arange(16, CPU).view([1, 4, 4]) * 3.0;
        let maps = AttentionMaps::new(&images, &attention, grid).unwrap();
        let colours = maps.with_features(&(patches + places)).unwrap().features.unwrap();
        assert_eq!(colours.size(), [2, 3, 4, 4]);
        let at = |image, row, column| colours.double_value(&[image, 0, row, column]);
        assert_eq!(at(0, 0, 0), at(0, 1, 1), "one patch, one colour");
        assert!((at(0, 0, 0) - at(1, 3, 3)).abs() < 1e-5, "{} {}", at(0, 0, 0), at(1, 3, 3));
        assert!((at(0, 0, 2) - 0.5).abs() < 1e-5 && (at(1, 2, 0) - 0.5).abs() < 1e-5);
        // The largest weight of the direction is that of the first feature, and positive.
        assert!(at(0, 0, 0) > 0.6 && at(1, 0, 0) < 0.4, "{} {}", at(0, 0, 0), at(1, 0, 0));

        let maps = AttentionMaps::new(&images, &attention, grid).unwrap();
        let refused = maps.with_features(&Tensor::zeros([2, 4, 2], CPU)).unwrap_err();
        assert!(refused.to_string().contains("D at least 3"), "{refused}");
    }

    #[test]
    fn colours_meet_the_table_at_its_ends() {
        let found = colours(&Tensor::from_slice(&[0.0_f32, 1.0]).view([1, 1, 2]));
        let found = Vec::<f32>::try_from(found.flatten(0, -1)).unwrap();
        assert_eq!(found, [HEAT[0], HEAT[4]].concat());
    }

    #[test]
    fn attention_of_another_grid_is_refused() {
        let grid = Grid::image(2, 2).unwrap();
        let images = Tensor::zeros([1, 3, 4, 4], (Kind::Uint8, Device::Cpu));
        let attention = Tensor::zeros([1, 2, 10, 10], CPU);
        let message = AttentionMaps::new(&images, &attention, grid).unwrap_err().to_string();
        assert!(message.contains("[1, 2, 10, 10]"), "{message}");
    }
}
