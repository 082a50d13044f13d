//! Where an encoder looks: attention as heat over the image.

use bauta_masking::Grid;
use tch::{Kind, Tensor};

use crate::encoded::check_finite;
use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// Colours of heat from 0 to 1, equally spaced: dark blue over red to yellow.
const HEAT: [[f32; 3]; 5] = [
    [0.05, 0.03, 0.30],
    [0.45, 0.05, 0.50],
    [0.80, 0.20, 0.35],
    [0.98, 0.55, 0.20],
    [0.99, 0.95, 0.60],
];

/// How much of the heat covers the grey image.
const COVER: f64 = 0.65;

/// The class token's attention to the patches, over the images.
#[derive(Debug)]
pub struct AttentionMaps {
    original: Tensor,
    /// Heat in [0, 1] at the image's resolution, [N, H, W].
    heat: Tensor,
}

impl AttentionMaps {
    /// Takes images as u8 pixels [N, C, H, W] and the last block's attention
    /// [N, heads, 1 + L, 1 + L], the class token first.
    ///
    /// The heads' mean is spread to [0, 1] image by image and enlarged bilinearly.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when they do not fit together or the grid,
    /// [`EvalError::Kind`] unless the images are u8, [`EvalError::NotFinite`] for attention that is not finite.
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
        let of_class = attention.select(2, 0).narrow(2, 1, tokens - 1);
        let of_class = of_class.mean_dim([1].as_slice(), false, Kind::Float);
        let least = of_class.amin([1].as_slice(), true);
        let range = (of_class.amax([1].as_slice(), true) - &least).clamp_min(1e-12);
        let heat = ((of_class - least) / range)
            .view([count, 1, grid.height() as i64, grid.width() as i64])
            .upsample_bilinear2d([height, width], false, None, None)
            .squeeze_dim(1);
        Ok(Self { original: unit_values("original images", original)?, heat })
    }

    /// Paints each image beside the heat over its grey form.
    pub fn paint(&self, layout: &PictureLayout) -> Picture {
        let size = self.original.size();
        let original = self.original.expand([size[0], 3, size[2], size[3]], false);
        let grey = original.mean_dim([1].as_slice(), true, Kind::Float);
        let heat = colours(&self.heat).permute([0, 3, 1, 2]);
        let covered = heat * COVER + grey * (1.0 - COVER);
        layout.paint(&Tensor::stack(&[original, covered], 1))
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
        // The class token looks at the last patch.
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
