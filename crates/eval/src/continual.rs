//! Continual learning: accuracy, forgetting and transfer over tasks learnt one after another.

use crate::Metrics;

/// Test accuracy on task s after learning task r, in row r and column s.
///
/// ```
/// use bauta_eval::AccuracyMatrix;
/// let mut matrix = AccuracyMatrix::new(2);
/// matrix.set(0, 0, 0.9);
/// matrix.set(1, 0, 0.7);
/// matrix.set(1, 1, 0.8);
/// assert!((matrix.average_accuracy().unwrap() - 0.75).abs() < 1e-12);
/// assert!((matrix.forgetting().unwrap() - 0.2).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracyMatrix(Vec<Vec<Option<f64>>>);

impl AccuracyMatrix {
    /// A matrix of `tasks` tasks without measurements.
    pub fn new(tasks: usize) -> Self {
        Self(vec![vec![None; tasks]; tasks])
    }

    /// Adds the accuracy on task `column` after learning task `row`.
    ///
    /// # Panics
    /// When there is no such task.
    pub fn set(&mut self, row: usize, column: usize, accuracy: f64) {
        self.0[row][column] = Some(accuracy);
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<Option<f64>>] {
        &self.0
    }

    /// Mean over the tasks of the accuracy after the last task; a task that was no longer measured
    /// then counts with its last accuracy.
    pub fn average_accuracy(&self) -> Option<f64> {
        let last = |task: usize| self.0.iter().rev().find_map(|row| row[task]);
        mean((0..self.0.len()).map(last))
    }

    /// Mean over all tasks but the last of the best accuracy before the last task minus the
    /// accuracy after it (Chaudhry et al., arXiv 1801.10112): 0 where nothing is forgotten, below 0
    /// where later tasks helped.
    pub fn forgetting(&self) -> Option<f64> {
        let (end, before) = self.0.split_last()?;
        let lost = |task: usize| {
            let seen = before.iter().filter_map(|row| row[task]);
            Some(seen.reduce(f64::max)? - end[task]?)
        };
        mean((0..before.len()).map(lost))
    }

    /// Mean over all tasks but the last of the accuracy at the end minus that right after the task
    /// (Lopez-Paz and Ranzato, arXiv 1706.08840): below 0 where tasks were forgotten.
    pub fn backward_transfer(&self) -> Option<f64> {
        let (end, before) = self.0.split_last()?;
        mean((0..before.len()).map(|task| Some(end[task]? - before[task][task]?)))
    }

    /// All three metrics by name; those that were not measured are missing.
    pub fn metrics(&self) -> Metrics {
        let named = [
            ("average_accuracy", self.average_accuracy()),
            ("forgetting", self.forgetting()),
            ("backward_transfer", self.backward_transfer()),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[&[f64]]) -> AccuracyMatrix {
        let mut matrix = AccuracyMatrix::new(rows.len());
        for (row, values) in rows.iter().enumerate() {
            values.iter().enumerate().for_each(|(column, &value)| matrix.set(row, column, value));
        }
        matrix
    }

    #[test]
    fn what_is_lost_is_counted_from_the_best() {
        let found = matrix(&[&[0.5], &[0.75, 1.0], &[0.25, 0.5, 0.75]]);
        assert_eq!(found.average_accuracy(), Some(0.5));
        assert_eq!(found.forgetting(), Some(0.5));
        assert_eq!(found.backward_transfer(), Some(-0.375));
        let kept = matrix(&[&[0.5], &[0.5, 1.0]]);
        assert_eq!((kept.forgetting(), kept.backward_transfer()), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn what_was_not_measured_has_no_number() {
        let mut alone = AccuracyMatrix::new(2);
        alone.set(0, 0, 0.5);
        assert_eq!(alone.average_accuracy(), None);
        alone.set(1, 1, 0.7);
        let names: Vec<String> = alone.metrics().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["average_accuracy"]);
        assert_eq!(matrix(&[&[0.5]]).forgetting(), None);
    }
}
