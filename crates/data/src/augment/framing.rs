//! Deterministic framing of a picture as a model's input: resized, then centre-cropped.

use super::LONGEST;
use super::region::Region;

/// How every picture is deterministically brought to one height and width.
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
    /// Where the output begins, if it is the middle of the resized picture; else it must be all
    /// of it.
    pub crop: Option<Middle>,
}

/// Where the centre crop starts when an odd number of pixels remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    /// At half of them, rounded down, as users of Pillow and Hugging Face's processors cut.
    Down,
    /// At half of them, rounded to even, as torchvision and timm cut.
    HalfEven,
}

impl Middle {
    /// Where a part of size `inner` begins within `outer`, which is not smaller.
    pub(crate) fn begin(self, outer: usize, inner: usize) -> usize {
        let over = outer - inner;
        match self {
            Self::Down => over / 2,
            Self::HalfEven => (over as f64 / 2.0).round_ties_even() as usize,
        }
    }
}

/// To which size a picture is resized: heights and widths in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// It keeps its own.
    No,
    /// To this size, without regard to its ratio.
    To([usize; 2]),
    /// To the least size that covers this one, with its ratio. With equal sides it is the
    /// shorter side that is resized to them.
    Covering([usize; 2]),
}

/// How pixels are interpolated: Pillow's filters, which widen when they shrink a picture.
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
    /// The largest part of a picture that has the output's ratio, resized to it: the output
    /// is covered with the picture's own ratio, and no more is cut off than that takes.
    pub fn covering(output: [usize; 2]) -> Self {
        let (resize, filter) = (Resize::Covering(output), Filter::default());
        Self { resize, filter, crop: Some(Middle::Down) }
    }

    /// Height and width of a picture of this height and width after the resizing; a side of
    /// Pillow's and torchvision's, rounded down.
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
            // Of a picture that is many times longer than wide the ends are cut off first.
            Resize::Covering(_) => whole.no_longer_than(LONGEST),
            Resize::No | Resize::To(_) => whole,
        };
        (part, self.resized([part.height, part.width]))
    }
}
