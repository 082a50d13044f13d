//! Objects of an image, as they are and as a detector sees them.

/// A true box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruthBox {
    /// Its class, from 0.
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// Area in pixels, of the object's mask where there is one; it decides on
    /// small, medium and large.
    pub area: f64,
    /// Whether it marks a crowd: detections within it count neither way.
    pub crowd: bool,
}

/// A predicted box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Its class, from 0.
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// How sure the detector is; only the order matters.
    pub score: f64,
}
