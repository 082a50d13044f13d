//! Conversion of an image encoder to an encoder of clips, and back (MAE-ST §5.4 and its code).

use std::collections::HashMap;

use tch::{Kind, Tensor};

use crate::ModelError;

const KERNEL: &str = "patch_embed.proj.weight";
const POSITIONS: &str = "pos_embed";
const SPATIAL: &str = "pos_embed_spatial";
const TEMPORAL: &str = "pos_embed_temporal";
const CLASS: &str = "pos_embed_class";

/// Computes weights of an encoder of clips from those of an image encoder, both under timm's names,
/// for `steps` time steps of patches of `patch_frames` frames.
///
/// The kernel is repeated over a patch's frames and divided by their number, so that a clip whose
/// frames are one image has the same embedding as that image; spatial positions are those of the
/// image, temporal positions are zero.
///
/// # Errors
/// [`ModelError::Config`] unless the weights contain a kernel [D, C, p, p] and positions
/// [1, 1 + S, D].
pub fn inflate_weights(
    image: &HashMap<String, Tensor>,
    steps: usize,
    patch_frames: usize,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let (kernel, positions) = (of(image, KERNEL, 4)?, of(image, POSITIONS, 3)?);
    let frames = patch_frames as i64;
    let inflated = kernel.unsqueeze(2).repeat([1, 1, frames, 1, 1]) / frames as f64;
    let rows = positions.size()[1];
    let temporal =
        Tensor::zeros([1, steps as i64, positions.size()[2]], (Kind::Float, positions.device()));
    let mut clip = without(image, &[KERNEL, POSITIONS]);
    clip.insert(KERNEL.into(), inflated);
    clip.insert(SPATIAL.into(), positions.narrow(1, 1, rows - 1).contiguous());
    clip.insert(CLASS.into(), positions.narrow(1, 0, 1).contiguous());
    clip.insert(TEMPORAL.into(), temporal);
    Ok(clip)
}

/// Computes weights of an image encoder from those of an encoder of clips with separable positions:
/// the kernel is summed over its frames, and the mean temporal position is added to every spatial
/// position.
///
/// # Errors
/// [`ModelError::Config`] unless the weights contain a kernel [D, C, t, p, p] and separable
/// positions.
pub fn deflate_weights(
    clip: &HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let kernel = of(clip, KERNEL, 5)?.sum_dim_intlist([2_i64].as_slice(), false, Kind::Float);
    let temporal = of(clip, TEMPORAL, 3)?.mean_dim([1_i64].as_slice(), true, Kind::Float);
    let patches = of(clip, SPATIAL, 3)? + temporal;
    let positions = Tensor::cat(&[of(clip, CLASS, 3)?, &patches], 1);
    let mut image = without(clip, &[KERNEL, SPATIAL, TEMPORAL, CLASS]);
    image.insert(KERNEL.into(), kernel);
    image.insert(POSITIONS.into(), positions);
    Ok(image)
}

fn of<'a>(
    tensors: &'a HashMap<String, Tensor>,
    name: &str,
    sides: usize,
) -> Result<&'a Tensor, ModelError> {
    let found = tensors.get(name).filter(|tensor| tensor.dim() == sides);
    found.ok_or_else(|| {
        let shape = tensors.get(name).map(|tensor| format!(" (it is {:?})", tensor.size()));
        let shape = shape.unwrap_or_default();
        ModelError::Config(format!("the weights contain no {name} with {sides} dimensions{shape}"))
    })
}

fn without(tensors: &HashMap<String, Tensor>, names: &[&str]) -> HashMap<String, Tensor> {
    let kept = tensors.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
