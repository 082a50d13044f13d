//! Checks before training.

use bauta_datasets::{DataError, OnError};
use rayon::prelude::*;

use super::DenseSource;

/// Checks every image of a source, and returns whether anything in any of them is labelled.
///
/// # Errors
/// The error of the first image whose files are missing or invalid. Damaged images are left to the
/// loader if it can skip them, unless all others are unlabelled.
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
