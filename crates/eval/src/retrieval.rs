//! Retrieval of matching items: recall at k, and the number of correct predictions.

use tch::{Kind, Tensor};

use crate::EvalError;

/// Recall at each k of `ks`: the fraction of rows with a matching column among the k highest
/// scores.
///
/// `scores` are [N, M]; a row matches the columns of its own group, so that items with the same
/// partner (images of one caption) are equivalent. A row's best matching column counts, and its
/// rank is one more than the number of other columns that score no less.
///
/// # Errors
/// [`EvalError::Shape`] unless there is a group for each row and each column, and
/// [`EvalError::NotFinite`] when a score is NaN or infinite.
///
/// ```
/// use bauta_eval::recalls;
/// use tch::Tensor;
/// let scores = Tensor::from_slice(&[0.9_f32, 0.1, 0.5, 0.8, 0.3, 0.6]).view([2, 3]);
/// // The second row matches the third column, which only the first column beats.
/// assert_eq!(recalls(&scores, &[0, 2], &[0, 1, 2], &[1, 2])?, [0.5, 1.0]);
/// # Ok::<(), bauta_eval::EvalError>(())
/// ```
pub fn recalls(
    scores: &Tensor,
    rows: &[usize],
    columns: &[usize],
    ks: &[usize],
) -> Result<Vec<f64>, EvalError> {
    let found = scores.size();
    if found != [rows.len() as i64, columns.len() as i64] || rows.is_empty() {
        let expected = format!("[{}, {}], a row and a column a group", rows.len(), columns.len());
        return Err(EvalError::Shape { what: "scores", found, expected });
    }
    crate::encoded::check_finite("scores", scores)?;
    let values: Vec<f32> =
        Vec::try_from(scores.to_device(tch::Device::Cpu).to_kind(Kind::Float).flatten(0, -1))
            .expect("a flat tensor of f32");
    let rank = |(row, group): (&[f32], &usize)| {
        let own = |column: &usize| columns[*column] == *group;
        let best = (0..columns.len()).filter(own).map(|column| row[column]);
        let best = best.fold(f32::NEG_INFINITY, f32::max);
        (0..columns.len()).filter(|column| !own(column) && row[*column] >= best).count()
    };
    let ranks: Vec<usize> = values.chunks_exact(columns.len()).zip(rows).map(rank).collect();
    let share =
        |k: &usize| ranks.iter().filter(|&&rank| rank < *k).count() as f64 / ranks.len() as f64;
    Ok(ks.iter().map(share).collect())
}

/// Number of correct predictions: logits [N, C] against i64 \[N\]; reads the device once.
pub fn top1(logits: &Tensor, wanted: &Tensor) -> i64 {
    logits.argmax(-1, false).eq_tensor(wanted).sum(Kind::Int64).int64_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_count_alike_and_ties_against() {
        let scores = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 3.0, 2.0, 1.0]).view([2, 3]);
        // Row 0 belongs to columns 0 and 2, row 1 to column 1.
        let found = recalls(&scores, &[7, 8], &[7, 8, 7], &[1, 2, 3]).unwrap();
        assert_eq!(found, [0.5, 1.0, 1.0]);
        let level = Tensor::zeros([2, 2], (Kind::Float, tch::Device::Cpu));
        assert_eq!(recalls(&level, &[0, 1], &[0, 1], &[1, 2]).unwrap(), [0.0, 1.0]);
        assert!(recalls(&level, &[0], &[0, 1], &[1]).is_err());
        let broken = &level / 0.0;
        assert!(recalls(&broken, &[0, 1], &[0, 1], &[1]).is_err());
    }

    #[test]
    fn hits_are_counted() {
        let logits = Tensor::from_slice(&[0.1_f32, 0.9, 0.7, 0.2]).view([2, 2]);
        assert_eq!(top1(&logits, &Tensor::from_slice(&[1_i64, 1])), 1);
    }
}
