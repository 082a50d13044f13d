//! Additional images that are read for each image of a batch.

use std::sync::Arc;

use bauta_streams::Purpose;

use crate::partners::PartnerSampler;
use crate::sample::Pixels;

/// Another image that is read for each image of a batch.
///
/// It is augmented by a separate stream, keyed by the batch's image, so it is the same whatever
/// batch the image is in, and varies from epoch to epoch.
#[derive(Clone, Debug)]
pub enum Read {
    /// The same image again, augmented by the stream of this purpose: a second view.
    Again(Purpose),
    /// The partner that is drawn for the image in this epoch, augmented by the stream
    /// "partner augment".
    Partner(Arc<PartnerSampler>),
}

/// The images of one [`Read`], one for each image of the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadImages {
    /// The images, \[B, C, H, W\].
    pub pixels: Pixels,
    /// Their indices in the source, B.
    ///
    /// If one could not be decoded and [`OnError::Skip`](crate::OnError::Skip) is set, the batch's
    /// own image takes its place, as it is in the batch.
    pub indices: Vec<u64>,
}
