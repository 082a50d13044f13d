//! Defaults of Hugging Face's image processors for keys that a file leaves out.

use super::framing::{CropRounding, Filter, Framing, Resize};

const IMAGENET_STANDARD: [f64; 3] = [0.5; 3];
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_DEVIATION: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// An image processor of a supported architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processor {
    Vit,
    /// BEiT's, and DeiT's, which has the same defaults.
    Beit,
    Clip,
}

impl Processor {
    /// The processor of a name, as versions before and after 4.26 write it.
    pub fn named(name: &str) -> Option<Self> {
        let stem = name.strip_suffix("Fast").unwrap_or(name);
        let stem = stem
            .strip_suffix("ImageProcessor")
            .or_else(|| stem.strip_suffix("FeatureExtractor"))?;
        match stem {
            "ViT" => Some(Self::Vit),
            "Beit" | "DeiT" => Some(Self::Beit),
            "CLIP" => Some(Self::Clip),
            _ => None,
        }
    }

    /// The default `image_mean` or `image_std`.
    pub fn statistics(self, key: &str) -> Option<[f64; 3]> {
        match (self, key) {
            (Self::Vit | Self::Beit, "image_mean" | "image_std") => Some(IMAGENET_STANDARD),
            (Self::Clip, "image_mean") => Some(CLIP_MEAN),
            (Self::Clip, "image_std") => Some(CLIP_DEVIATION),
            _ => None,
        }
    }

    /// The default resizing and cropping.
    pub fn framing(self) -> Framing {
        let (resize, crop, filter) = match self {
            Self::Vit => (Resize::To([224; 2]), None, Filter::Bilinear),
            Self::Beit => (Resize::To([256; 2]), Some([224; 2]), Filter::Bicubic),
            Self::Clip => (Resize::ShorterSide(224), Some([224; 2]), Filter::Bicubic),
        };
        Framing { resize, crop, rounding: CropRounding::default(), filter: Some(filter) }
    }
}
