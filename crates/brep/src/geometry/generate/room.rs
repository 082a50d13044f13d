//! Room in a block: boxes that features occupy, so that no two of them touch.

use glam::DVec3;

/// A box, given by its smallest and largest coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuboid {
    pub low: DVec3,
    pub high: DVec3,
}

impl Cuboid {
    /// The box spanned by two opposite corners.
    pub fn spanned(one: DVec3, other: DVec3) -> Self {
        Self { low: one.min(other), high: one.max(other) }
    }

    /// The box enlarged by a margin on all sides.
    pub fn widened(self, margin: DVec3) -> Self {
        Self { low: self.low - margin, high: self.high + margin }
    }

    pub fn contains(&self, other: &Self) -> bool {
        self.low.cmple(other.low).all() && self.high.cmpge(other.high).all()
    }

    pub fn meets(&self, other: &Self) -> bool {
        self.low.cmplt(other.high).all() && self.high.cmpgt(other.low).all()
    }
}
