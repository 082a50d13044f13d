//! Checks before training.

use bauta_datasets::{DataError, OnError};
use rayon::prelude::*;

use super::DenseSource;

/// Looks at every image of a source: whether anything in any of them is labelled.
///
/// # Errors
/// That of the first image whose files are not there or not what they must be. Damaged ones are
/// left to the loader where they may be skipped, unless all others are unlabelled.
pub(super) fn any_labelled(source: &dyn DenseSource, on_error: OnError) -> Result<bool, DataError> {
    let looked: Vec<_> = (0..source.len()).into_par_iter().map(|at| source.look(at)).collect();
    let (mut labelled, mut damaged) = (false, None);
    for found in looked {
        match (found, on_error) {
            (Ok(found), _) => labelled |= found,
            (Err(error @ DataError::Image { .. }), OnError::Skip) => {
                damaged.get_or_insert(error);
            }
            (Err(error), _) => return Err(error),
        }
    }
    match damaged {
        Some(error) if !labelled => Err(error),
        _ => Ok(labelled),
    }
}
