//! Parts as geometry, without libtorch: graphs, features, trims and targets, files, and a
//! generator of labelled parts.

mod curve;
mod features;
pub mod generate;
mod graph;
pub(crate) mod listing;
mod part;
pub mod picture;
mod samples;
mod solid;
mod step_text;
mod store;
mod surface;
mod trim;

pub use curve::{Curve, Edge};
pub use features::{EDGE_WIDTH, FACE_WIDTH, edge_features, face_features, surface_of};
pub use graph::{Face, Fit, Graph, LoopKind, Use};
pub use part::{Part, TARGET_WIDTH, target_rows};
pub use samples::{OVERHANG, Sampling, Target, nearest_opposite};
pub use solid::Solid;
pub use store::{CLASSES, EXTENSION, Holdout, PartSplits, PartStore};
pub use surface::{Domain, Frame, Surface};
pub use trim::{Region, Segment, Trim, WITHOUT_BOUNDARY};
