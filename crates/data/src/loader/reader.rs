//! Images beside those of the batch: the partners that mixtures are made with.

use std::sync::Arc;

use super::Batch;
use super::assemble::Assembler;
use crate::error::DataError;

/// Reads images of a loader's source on behalf of a closure that prepares batches.
///
/// A clone reads from the same source; what is read depends on the arguments and the
/// loader's seed alone.
#[derive(Clone)]
pub struct Reader(Arc<Assembler>);

impl Reader {
    pub(super) fn new(assembler: Arc<Assembler>) -> Self {
        Self(assembler)
    }

    /// Reads a partner for each image of a batch: the images with the indices `partners`, B.
    ///
    /// They are augmented like the batch's, from streams of their own. With
    /// [`OnError::Skip`](super::OnError::Skip), an image whose partner cannot be decoded is
    /// its own partner, which is reported once and seen in the indices of what is returned.
    ///
    /// # Errors
    /// With [`OnError::Stop`](super::OnError::Stop), when a partner cannot be decoded.
    ///
    /// # Panics
    /// When there is not one partner an image, or one lies beyond the source.
    pub fn partners(&self, batch: &Batch, partners: &[u64]) -> Result<Batch, DataError> {
        self.0.partners(batch, partners)
    }
}
