//! A generator of labelled machining parts, exact in every surface, trim and distance.
//!
//! A block, or a disc, gets features that do not touch each other: its outline is cut by steps,
//! slots, chamfers and fillets, its faces by holes, pockets and slots. Every face has the class of
//! the feature that created it, and the exact geometry is known by construction, so no CAD kernel
//! is needed.

mod block;
mod builder;
mod contour;
mod recess;
mod room;

use bauta_streams::{Purpose, RandomStream, StreamKey};
use strum::{Display, IntoStaticStr, VariantArray};

use super::{Part, Sampling, Solid};
use crate::BrepError;

/// The feature that created a face: the classes of generated parts, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[repr(u32)]
pub enum Feature {
    /// The block itself.
    Stock,
    /// A hole from one side to the other.
    ThroughHole,
    /// A hole with a bottom.
    BlindHole,
    /// A rectangular recess with a bottom.
    Pocket,
    /// A corner cut away along its whole length.
    Step,
    /// A groove along a whole side, or a recess with two rounded ends.
    Slot,
    /// A corner or rim cut off at an angle.
    Chamfer,
    /// A corner or rim rounded.
    Fillet,
}

impl Feature {
    /// The names of the classes, in the order of their numbers.
    pub fn names() -> Vec<String> {
        Self::VARIANTS.iter().map(ToString::to_string).collect()
    }
}

/// Generated parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// Seed of the parts.
    pub seed: u64,
}

impl Parts {
    /// The part of this number, which is always the same.
    pub fn solid(&self, number: u64) -> Solid {
        block::part(&mut self.stream("brep part", number))
    }

    /// The same part, encoded, with targets.
    ///
    /// # Errors
    /// [`BrepError::Setting`] for an invalid sampling.
    pub fn prepared(&self, number: u64, sampling: &Sampling) -> Result<Part, BrepError> {
        self.solid(number).prepare(sampling, &mut self.stream("brep targets", number))
    }

    fn stream(&self, purpose: &str, sample: u64) -> RandomStream {
        let purpose = Purpose::named(purpose);
        StreamKey { seed: self.seed, purpose, epoch: 0, sample }.stream()
    }
}
