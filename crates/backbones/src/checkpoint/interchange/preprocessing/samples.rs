//! Type and range of the samples of a model's images: keys of our own in
//! `preprocessor_config.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{brief, said};

/// Keys that Hugging Face's processors ignore.
const TYPE: &str = "sample_type";
const RANGE: &str = "sample_range";
const CHANNELS: &str = "num_channels";

/// Type of an image file's samples, by its name in NumPy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// Bytes, 0 to 255.
    #[default]
    Uint8,
    /// Sixteen bits, 0 to 65535, in their own units.
    Uint16,
    /// Single precision, in its own units.
    Float32,
}

impl SampleKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Float32 => "float32",
        }
    }

    /// The value that corresponds to 1 in means and standard deviations.
    pub(crate) fn unit(self) -> f32 {
        match self {
            Self::Uint8 => 255.0,
            Self::Uint16 | Self::Float32 => 1.0,
        }
    }
}

/// Type and range of the samples of a model's images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Samples {
    /// Their type.
    pub kind: SampleKind,
    /// Smallest and largest possible value; for floats, those of the training data.
    pub range: [f32; 2],
}

impl Samples {
    /// Bytes, as of photos.
    pub const BYTES: Self = Self { kind: SampleKind::Uint8, range: [0.0, 255.0] };

    /// The keys that describe them, for images of `channels` channels.
    pub(super) fn keys(self, channels: usize) -> [(&'static str, Value); 3] {
        [(TYPE, json!(self.kind)), (RANGE, json!(self.range)), (CHANNELS, json!(channels))]
    }

    /// Reads a file's keys; bytes if there are none.
    pub(super) fn of(keys: &Map<String, Value>) -> Result<Self, String> {
        let Some(value) = said(keys, TYPE) else { return Ok(Self::BYTES) };
        let kind = SampleKind::deserialize(value).map_err(|_| {
            format!("{TYPE} is {}, but must be uint8, uint16 or float32", brief(value))
        })?;
        let range = match (said(keys, RANGE), kind) {
            (Some(value), _) => <[f32; 2]>::deserialize(value)
                .ok()
                .filter(|[least, most]| least <= most)
                .ok_or_else(|| {
                    format!("{RANGE} is {}, but must be [least, greatest]", brief(value))
                })?,
            (None, SampleKind::Uint8) => Self::BYTES.range,
            (None, SampleKind::Uint16) => [0.0, 65_535.0],
            (None, SampleKind::Float32) => return Err(format!("{RANGE} is missing; add it")),
        };
        Ok(Self { kind, range })
    }
}
