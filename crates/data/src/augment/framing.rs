//! Deterministic framing of a picture as a model's input: resized, then centre-cropped.

use super::LONGEST;
use super::region::Region;

/// How every picture is brought to one height and width, deterministically.
///
/// ```
/// use bauta_data::{Filter, Framing, Middle, Resize};
/// // torchvision's `Resize(256)` and `CenterCrop(224)`.
/// let (resize, filter) = (Resize::Covering([256, 256]), Filter::Bicubic);
/// let framing = Framing { resize, filter, crop: Some(Middle::HalfEven) };
/// assert_eq!(framing.resized([375, 500]), [256, 341]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The size to which a picture is resized, before the centre crop.
    pub resize: Resize,
    /// How pixels are interpolated.
    pub filter: Filter,
    /// Where the output starts, if it is the middle of the resized picture; otherwise it must be
    /// the whole resized picture.
    pub crop: Option<Middle>,
}

/// Where the centre crop starts when an odd number of pixels remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    /// At half of them, rounded down, as in common Pillow code and Hugging Face's processors.
    Down,
    /// At half of them, rounded to even, as in torchvision and timm.
    HalfEven,
}

impl Middle {
    /// Where a part of size `inner` starts within `outer`, which is not smaller.
    pub(crate) fn begin(self, outer: usize, inner: usize) -> usize {
        let over = outer - inner;
        match self {
            Self::Down => over / 2,
            Self::HalfEven => (over as f64 / 2.0).round_ties_even() as usize,
        }
    }
}

/// The size to which a picture is resized: heights and widths in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The picture keeps its size.
    No,
    /// To this size, without regard to its ratio.
    To([usize; 2]),
    /// To the smallest size that covers this one and keeps the picture's ratio. If both sides are
    /// equal, the shorter side is resized to them.
    Covering([usize; 2]),
}

/// How pixels are interpolated: Pillow's filters, which widen when a picture shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is Pillow's filter of its name")]
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    #[default]
    Bicubic,
    Lanczos,
}

impl Framing {
    /// Takes the largest central part of a picture that has the output's ratio, resized to the
    /// output.
    ///
    /// The picture keeps its own ratio, and no more is cut off than necessary.
    pub fn covering(output: [usize; 2]) -> Self {
        let (resize, filter) = (Resize::Covering(output), Filter::default());
        Self { resize, filter, crop: Some(Middle::Down) }
    }

    /// The [height, width] of a picture after resizing, from those before; rounded down, as in
    /// Pillow and torchvision.
    ///
    /// # Panics
    /// When a side of the picture is 0.
    pub fn resized(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        match self.resize {
            Resize::No => [height, width],
            Resize::To(size) => size,
            Resize::Covering([down, right]) if down * width >= right * height => {
                [down, down * width / height]
            }
            Resize::Covering([_, right]) => [right * height / width, right],
        }
    }

    /// The part of a picture that is resized, and its size after that.
    pub(super) fn place(&self, whole: Region) -> (Region, [usize; 2]) {
        let part = match self.resize {
            // The ends of a picture that is many times longer than wide are cut off first.
            Resize::Covering(_) => whole.no_longer_than(LONGEST),
            Resize::No | Resize::To(_) => whole,
        };
        (part, self.resized([part.height, part.width]))
    }
}
