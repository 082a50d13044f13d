//! The part of each batch that one of several processes prepares.

use bauta_datasets::DataError;

/// The share of one of several processes that train together.
///
/// Each prepares an equal, consecutive part of every batch of a shuffled order. Together they
/// produce exactly the samples of a single process, augmented and masked alike, because these are
/// drawn by a sample's index and not by its position.
///
/// ```
/// use bauta_data::Share;
///
/// assert_eq!(Share { rank: 1, of: 2 }.part(&[4, 0, 3, 1]), [3, 1]);
/// assert_eq!(Share::WHOLE.part(&[4, 0, 3, 1]), [4, 0, 3, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The process's number, from 0.
    pub rank: usize,
    /// Number of processes.
    pub of: usize,
}

impl Share {
    /// The share of a single process.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };

    /// Its part of a batch, whose size has passed [`check`](Self::check).
    pub fn part<T>(self, batch: &[T]) -> &[T] {
        let size = batch.len() / self.of;
        &batch[self.rank * size..][..size]
    }

    /// Checks that a batch can be divided into equal parts.
    ///
    /// # Errors
    /// [`DataError::Setting`] for `batch_size` if it cannot.
    pub fn check(self, batch_size: usize) -> Result<(), DataError> {
        match batch_size.is_multiple_of(self.of) {
            true => Ok(()),
            false => {
                let rule = format!("must be a multiple of the {} processes that share it", self.of);
                Err(DataError::setting("batch_size", batch_size, rule))
            }
        }
    }
}
