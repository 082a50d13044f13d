//! The part of each batch that one of several processes prepares.

use bauta_datasets::DataError;

/// One of several processes that train together, and their number.
///
/// Each makes an equal, consecutive part of every batch of a shuffled order. Together they make
/// the very samples that one process makes, augmented and masked alike, because these are drawn
/// by a sample's index and not by its place.
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
    /// How many processes there are.
    pub of: usize,
}

impl Share {
    /// That of a single process.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };

    /// Its part of a batch, whose size [`check`](Self::check) has let pass.
    pub fn part<T>(self, batch: &[T]) -> &[T] {
        let size = batch.len() / self.of;
        &batch[self.rank * size..][..size]
    }

    /// Checks that a batch has equal parts.
    ///
    /// # Errors
    /// [`DataError::Setting`] of `batch_size` where it has not.
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
