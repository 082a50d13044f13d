//! How an image is resized and cropped before it enters a model.

use serde_json::{Map, Value, json};

use super::processors::Processor;
use super::{brief, flag, said};

/// Upper limit of a side, in pixels.
const LONGEST: u64 = 1 << 20;

/// How an image is resized and cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// How it is resized, before the crop.
    pub resize: Resize,
    /// Height and width in pixels of the centre crop; `None` keeps the whole image.
    pub crop: Option<[usize; 2]>,
    /// Where the crop starts when an odd number of pixels is left over.
    pub rounding: CropRounding,
    /// How pixels are interpolated, if specified.
    pub filter: Option<Filter>,
}

/// The size that an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Keeps the image's own size.
    No,
    /// This height and width in pixels, regardless of the aspect ratio.
    To([usize; 2]),
    /// A shorter side of this many pixels, with the aspect ratio kept.
    ShorterSide(usize),
}

/// Where a centre crop starts when an odd number of pixels is left over; the key `crop_rounding`,
/// which is this project's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum CropRounding {
    /// Half of them, rounded down, as Hugging Face's processors crop.
    #[default]
    Down,
    /// Half of them, rounded to even, as torchvision and timm crop.
    HalfEven,
}

/// How pixels are interpolated, by Pillow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray, strum::Display)]
#[strum(serialize_all = "kebab-case")]
#[expect(missing_docs, reason = "each is Pillow's filter of its name")]
pub enum Filter {
    // In the order of Pillow's constants, from 0.
    Nearest,
    Lanczos,
    Bilinear,
    Bicubic,
    Box,
    Hamming,
}

impl Framing {
    /// Height and width of the output, if they are the same for every image.
    pub fn output(&self) -> Option<[usize; 2]> {
        self.crop.or(match self.resize {
            Resize::To(size) => Some(size),
            Resize::No | Resize::ShorterSide(_) => None,
        })
    }

    /// Reads a file's keys; missing ones take the processor's defaults, if it is known.
    pub(super) fn of(
        keys: &Map<String, Value>,
        processor: Option<Processor>,
    ) -> Result<Option<Self>, String> {
        let usual = processor.map(Processor::framing);
        let silent = ["do_resize", "size", "do_center_crop", "crop_size"]
            .iter()
            .all(|key| said(keys, key).is_none());
        if silent && usual.is_none() {
            return Ok(None);
        }
        let resize = match (flag(keys, "do_resize")?.unwrap_or(true), said(keys, "size")) {
            (false, _) => Resize::No,
            (true, Some(size)) => resize(size, processor)?,
            (true, None) => match (usual, said(keys, "do_resize")) {
                (Some(usual), _) => usual.resize,
                // Only a crop is specified.
                (None, None) => Resize::No,
                (None, Some(_)) => {
                    return Err("do_resize is true, but size is missing; add it".into());
                }
            },
        };
        let crops = flag(keys, "do_center_crop")?.unwrap_or(match usual {
            Some(usual) => usual.crop.is_some(),
            None => said(keys, "crop_size").is_some(),
        });
        let crop = match (crops, said(keys, "crop_size")) {
            (false, _) => None,
            (true, Some(size)) => Some(crop(size)?),
            (true, None) => match usual.and_then(|usual| usual.crop) {
                Some(usual) => Some(usual),
                None => {
                    return Err("do_center_crop is true, but crop_size is missing; add it".into());
                }
            },
        };
        let filter = match said(keys, "resample") {
            Some(value) => Some(filter(value)?),
            None => usual.and_then(|usual| usual.filter),
        };
        let rounding = match said(keys, "crop_rounding") {
            None => CropRounding::default(),
            Some(value) => value.as_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
                let value = brief(value);
                format!("crop_rounding is {value}, but must be \"down\" or \"half-even\"")
            })?,
        };
        Ok(Some(Self { resize, crop, rounding, filter }))
    }

    /// The same as Hugging Face's keys, with a processor that supports them.
    pub(super) fn keys(self) -> Map<String, Value> {
        let rectangle = |[height, width]: [usize; 2]| json!({"height": height, "width": width});
        let mut keys = Map::new();
        let mut say = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
        // A ViT's processor has no crop.
        let processor = if self.crop.is_some() || matches!(self.resize, Resize::ShorterSide(_)) {
            "CLIPImageProcessor"
        } else {
            "ViTImageProcessor"
        };
        say("image_processor_type", processor.into());
        say("do_resize", (self.resize != Resize::No).into());
        match self.resize {
            Resize::No => {}
            Resize::To(size) => say("size", rectangle(size)),
            Resize::ShorterSide(side) => say("size", json!({"shortest_edge": side})),
        }
        say("do_center_crop", self.crop.is_some().into());
        if let Some(crop) = self.crop {
            say("crop_size", rectangle(crop));
            if self.rounding != CropRounding::default() {
                say("crop_rounding", <&str>::from(self.rounding).into());
            }
        }
        if let Some(filter) = self.filter {
            say("resample", (filter as u8).into());
        }
        keys
    }
}

/// Reads `size` in any of the forms that versions write: a number means the shorter side to CLIP's
/// processor and both sides to others.
fn resize(value: &Value, processor: Option<Processor>) -> Result<Resize, String> {
    if let Some(number) = value.as_u64() {
        let side = side(number).ok_or_else(|| wrong("size", value))?;
        return Ok(match processor {
            Some(Processor::Clip) => Resize::ShorterSide(side),
            _ => Resize::To([side; 2]),
        });
    }
    if let Some(object) = value.as_object()
        && let Some(shorter) = object.get("shortest_edge")
    {
        if let Some(longest) = said(object, "longest_edge") {
            return Err(format!(
                "size has a longest_edge of {} beside shortest_edge, which is not supported; \
                 remove it",
                brief(longest)
            ));
        }
        let shorter = shorter.as_u64().and_then(side).ok_or_else(|| wrong("size", value))?;
        return Ok(Resize::ShorterSide(shorter));
    }
    rectangle(value).map(Resize::To).ok_or_else(|| wrong("size", value))
}

fn crop(value: &Value) -> Result<[usize; 2], String> {
    let square = value.as_u64().and_then(side).map(|side| [side; 2]);
    square.or_else(|| rectangle(value)).ok_or_else(|| wrong("crop_size", value))
}

/// Height and width, under these names or in a list.
fn rectangle(value: &Value) -> Option<[usize; 2]> {
    let [height, width] = match value {
        Value::Object(sides) => [sides.get("height")?, sides.get("width")?],
        Value::Array(sides) => sides.iter().collect::<Vec<_>>().try_into().ok()?,
        _ => return None,
    };
    Some([side(height.as_u64()?)?, side(width.as_u64()?)?])
}

fn side(pixels: u64) -> Option<usize> {
    (1..=LONGEST).contains(&pixels).then_some(pixels as usize)
}

fn filter(value: &Value) -> Result<Filter, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    let known = <Filter as strum::VariantArray>::VARIANTS;
    number.and_then(|number| known.get(number)).copied().ok_or_else(|| {
        format!("resample is {}, but must be one of Pillow's numbers, 0 to 5", brief(value))
    })
}

fn wrong(key: &str, value: &Value) -> String {
    format!(
        "{key} is {}, but must be a number of pixels from 1 to {LONGEST}, {{\"height\", \
         \"width\"}} or, for size, {{\"shortest_edge\"}}",
        brief(value)
    )
}
