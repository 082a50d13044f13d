//! Objects of an image: true boxes and detections.

/// A true box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruthBox {
    /// Its class, from 0.
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// Area in pixels, of the object's mask where there is one; it decides whether the object is
    /// small, medium or large.
    pub area: f64,
    /// Whether it marks a crowd: detections within it do not count.
    pub crowd: bool,
}

/// A predicted box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Its class, from 0.
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// Confidence of the detector; only the order matters.
    pub score: f64,
}
