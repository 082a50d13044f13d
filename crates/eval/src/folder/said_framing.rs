//! Translation of a model folder's resizing and cropping into the loader's settings.

use bauta_backbones::{self as backbones, ModelFolder, Preprocessing};
use bauta_data::{Filter, Framing, Middle, Resize};

use crate::EvalError;

/// Maximum ratio of a resized side to the output's side: more would use memory for pixels that are
/// cropped.
const LARGEST: usize = 16;

/// How a folder resizes and crops images for inputs of `size` [height, width] in pixels; `None` if
/// it does not say.
///
/// If `size` is not the output size of the folder's framing and `scaled` is set, its sizes are
/// scaled, so that the same part of an image is used at another resolution.
///
/// # Errors
/// [`EvalError::Model`] for settings that are not supported, [`EvalError::Unsuitable`] when the
/// sizes disagree.
pub fn said_framing(
    folder: &ModelFolder,
    size: [usize; 2],
    scaled: bool,
) -> Result<Option<Framing>, EvalError> {
    framing_of(folder.preprocessing(), size, scaled)
}

/// Like [`said_framing`], for the preprocessing of a folder.
pub(super) fn framing_of(
    said: Option<&Preprocessing>,
    size: [usize; 2],
    scaled: bool,
) -> Result<Option<Framing>, EvalError> {
    let Some(said) = said else { return Ok(None) };
    let Some(said) = said.framing()? else { return Ok(None) };
    let output = said.output().or(match said.resize {
        backbones::Resize::ShorterSide(side) => Some([side; 2]),
        backbones::Resize::No | backbones::Resize::To(_) => None,
    });
    let [[from_height, from_width], [height, width]] = match output {
        Some(output) if output != size && !scaled => {
            return Err(EvalError::Unsuitable(format!(
                "the folder's preprocessing gives pictures of {} × {}, but the model takes {} × \
                 {}; correct size or crop_size",
                output[0], output[1], size[0], size[1]
            )));
        }
        Some(output) => [output, size],
        // Images keep their own size, against which each is checked.
        None => [size, size],
    };
    let scale = |[down, right]: [usize; 2]| {
        let side = |side: usize, to: usize, from: usize| (side * to + from / 2) / from;
        [side(down, height, from_height), side(right, width, from_width)]
    };
    let resize = match said.resize {
        backbones::Resize::No => Resize::No,
        backbones::Resize::To(size) => Resize::To(scale(size)),
        backbones::Resize::ShorterSide(side) => Resize::Covering(scale([side; 2])),
    };
    if let Resize::To([down, right]) | Resize::Covering([down, right]) = resize
        && (down > LARGEST * height || right > LARGEST * width)
    {
        return Err(EvalError::Unsuitable(format!(
            "the folder's preprocessing resizes pictures to {down} × {right} and keeps {height} × \
             {width} of them; a side may be at most {LARGEST} times what is kept"
        )));
    }
    let filter = match said.filter {
        Some(backbones::Filter::Nearest) => Filter::Nearest,
        Some(backbones::Filter::Lanczos) => Filter::Lanczos,
        Some(backbones::Filter::Bilinear) => Filter::Bilinear,
        Some(backbones::Filter::Box) => Filter::Box,
        Some(backbones::Filter::Hamming) => Filter::Hamming,
        Some(backbones::Filter::Bicubic) | None => Filter::Bicubic,
    };
    let crop = said.crop.map(|_| match said.rounding {
        backbones::CropRounding::Down => Middle::Down,
        backbones::CropRounding::HalfEven => Middle::HalfEven,
    });
    Ok(Some(Framing { resize, filter, crop }))
}
