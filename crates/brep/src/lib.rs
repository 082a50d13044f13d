//! CAD parts as boundary representations, and codes of their faces.
//!
//! [`geometry`] does not need libtorch: a part as a graph of faces, loops, edges and vertices with
//! exact features; targets with signed distances to the trims; files of prepared parts; and a
//! generator of labelled machining parts. [`model`], a default feature, has the networks: an
//! encoder of faces with attention from vertices to edges to faces, and a decoder from a face's
//! code and a point (u, v) to the surface and its trim (Jones et al., Self-Supervised
//! Representation Learning for CAD, arXiv 2210.10807).
//!
//! ```
//! use bauta_brep::generate::Parts;
//! use bauta_brep::{Feature, Sampling};
//!
//! let sampling = Sampling { candidates: 300, kept: 50, near: 0.4 };
//! let part = Parts { seed: 7 }.prepared(0, &sampling)?;
//! assert_eq!(part.labels.len(), part.faces.len());
//! assert!(part.labels.contains(&(Feature::Stock as u32)));
//! # Ok::<(), bauta_brep::BrepError>(())
//! ```

mod error;
pub mod geometry;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "occt")]
pub mod step;

pub use error::BrepError;
pub use geometry::generate::{self, Feature};
pub use geometry::{Graph, Holdout, Part, PartSplits, PartStore, Sampling, Solid};
