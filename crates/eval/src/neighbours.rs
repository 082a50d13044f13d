//! Images and their nearest neighbours in feature space, side by side.

use tch::{Kind, Tensor};

use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout};

/// The `k` nearest neighbours among all samples of each of the first `queries` samples: indices
/// [queries, k], nearest first.
///
/// Features [N, D] are standardised, then compared by cosine, as in [`crate::KnnEvaluator`].
///
/// # Errors
/// [`EvalError::Shape`] unless N ≥ `queries` ≥ 1 and N > `k` ≥ 1.
pub fn nearest(features: &Tensor, queries: usize, k: usize) -> Result<Tensor, EvalError> {
    let found = features.size();
    let (queries, k) = (queries as i64, k as i64);
    let fits = found.len() == 2 && queries >= 1 && k >= 1 && found[0] >= queries && found[0] > k;
    if !fits {
        let expected = format!("[N, D] with N above {k} and at least {queries}");
        return Err(EvalError::Shape { what: "features to compare", found, expected });
    }
    let features = features.detach().to_kind(Kind::Float);
    let centred = &features - features.mean_dim([0].as_slice(), true, None);
    let scaled = &centred / (centred.std_dim([0].as_slice(), false, true) + 1e-6);
    let directions = &scaled / scaled.norm_scalaropt_dim(2, [1], true).clamp_min(1e-12);
    let similarities = directions.narrow(0, 0, queries).matmul(&directions.transpose(0, 1));
    // No sample is its own neighbour.
    let own = Tensor::eye_m(queries, found[0], (Kind::Bool, features.device()));
    Ok(similarities.masked_fill(&own, f64::NEG_INFINITY).topk(k, 1, true, true).1)
}

/// A sheet of the first images, each followed by its neighbours.
///
/// Takes images as u8 pixels [N, C, H, W] and indices [queries, k] from [`nearest`].
///
/// # Errors
/// [`EvalError::Shape`] unless the images have 1 or 3 channels, [`EvalError::Kind`] unless they are
/// u8.
pub fn contact_sheet(
    images: &Tensor,
    neighbours: &Tensor,
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let found = images.size();
    if !matches!(found[..], [n, 1 | 3, h, w] if n > 0 && h > 0 && w > 0) {
        let expected = "[N, 1 or 3, H, W]".into();
        return Err(EvalError::Shape { what: "images of a contact sheet", found, expected });
    }
    let queries = Tensor::arange(neighbours.size()[0], (Kind::Int64, images.device()));
    let rows = Tensor::cat(&[queries.unsqueeze(1), neighbours.to_device(images.device())], 1);
    let panels = images.index_select(0, &rows.flatten(0, -1));
    let shape = [rows.size()[0], rows.size()[1], found[1], found[2], found[3]];
    let panels = unit_values("images of a contact sheet", &panels)?;
    Ok(layout.paint(&panels.view(shape)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first_and_nobody_is_their_own() {
        let angles = [0.0_f32, 3.0, 0.1, 3.3, 1.5];
        let rows: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        let features = Tensor::from_slice(&rows).view([5, 2]);
        let found = nearest(&features, 3, 2).unwrap();
        assert_eq!(found.size(), [3, 2]);
        let found = Vec::<i64>::try_from(found.flatten(0, -1)).unwrap();
        assert_eq!([found[0], found[2], found[4]], [2, 3, 0]);
        assert!(nearest(&features, 6, 2).is_err());
        assert!(nearest(&features, 2, 5).is_err());
    }

    #[test]
    fn a_sheet_shows_the_query_and_then_its_neighbours() {
        let images = Tensor::from_slice(&[0_u8, 64, 128, 191]).view([4, 1, 1, 1]);
        let images = images.expand([4, 1, 2, 2], false);
        let neighbours = Tensor::from_slice(&[3_i64, 2]).view([1, 2]);
        let layout = PictureLayout { columns: 1, min_height: 2, gap: 1 };
        let sheet = contact_sheet(&images, &neighbours, &layout).unwrap();
        let grey = |x: u32| sheet.image().get_pixel(x, 2).0[0];
        assert_eq!([grey(2), grey(5), grey(8)], [0, 191, 128]);
    }
}
