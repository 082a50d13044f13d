//! Measurements so far, of all methods; they are part of the run's state, because a method's
//! network is gone when the next one learns.

use std::collections::{BTreeMap, HashMap};

use bauta_eval::{AccuracyMatrix, appended};
use tch::Tensor;

/// Test accuracies and validation curves by method.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// By method; the cells of the matrix [T · T], below 0 where there is no measurement.
    tested: BTreeMap<String, Vec<f64>>,
    /// By method and task: the accuracy after each epoch, on the device.
    curves: BTreeMap<(String, usize), Tensor>,
}

impl Results {
    /// Adds the accuracy on the task `column` after the task `row`.
    pub(super) fn tested(
        &mut self,
        method: &str,
        [row, column]: [usize; 2],
        tasks: usize,
        accuracy: f64,
    ) {
        let cells =
            self.tested.entry(method.to_owned()).or_insert_with(|| vec![-1.0; tasks * tasks]);
        cells[row * tasks + column] = accuracy;
    }

    /// Adds a validation accuracy, a scalar, without waiting for the device.
    pub(super) fn validated(&mut self, method: &str, task: usize, accuracy: &Tensor) {
        let key = (method.to_owned(), task);
        let curve = appended(self.curves.get(&key), accuracy);
        self.curves.insert(key, curve);
    }

    /// The accuracy matrix of a method.
    pub(super) fn matrix(&self, method: &str) -> Option<AccuracyMatrix> {
        let cells = self.tested.get(method)?;
        let tasks = cells.len().isqrt();
        let mut matrix = AccuracyMatrix::new(tasks);
        for (place, &accuracy) in cells.iter().enumerate().filter(|(_, accuracy)| **accuracy >= 0.0)
        {
            matrix.set(place / tasks, place % tasks, accuracy);
        }
        Some(matrix)
    }

    /// Validation accuracy after each epoch of a task.
    pub(super) fn curve(&self, method: &str, task: usize) -> Vec<f64> {
        let curve = self.curves.get(&(method.to_owned(), task));
        curve.map_or_else(Vec::new, |curve| Vec::try_from(curve).expect("a vector of doubles"))
    }

    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        let tested = self.tested.iter();
        let tested =
            tested.map(|(method, cells)| (format!("{TESTED}{method}"), Tensor::from_slice(cells)));
        let curves = self.curves.iter().map(|((method, task), curve)| {
            (format!("{CURVE}{method}.{task}"), curve.shallow_clone())
        });
        tested.chain(curves).collect()
    }

    /// Loads its own part of a saved state; returns the rest.
    pub(super) fn load_state(
        &mut self,
        saved: &HashMap<String, Tensor>,
    ) -> HashMap<String, Tensor> {
        let (mut rest, mut read) = (HashMap::new(), Self::default());
        for (name, tensor) in saved {
            let curve = name.strip_prefix(CURVE).and_then(|name| name.rsplit_once('.'));
            let curve = curve.and_then(|(method, task)| Some((method, task.parse().ok()?)));
            match (name.strip_prefix(TESTED), curve, Vec::try_from(tensor)) {
                (Some(method), _, Ok(cells)) => drop(read.tested.insert(method.to_owned(), cells)),
                (_, Some((method, task)), _) => {
                    read.curves.insert((method.to_owned(), task), tensor.copy());
                }
                _ => drop(rest.insert(name.clone(), tensor.shallow_clone())),
            }
        }
        *self = read;
        rest
    }
}

const TESTED: &str = "tested.";
const CURVE: &str = "curve.";
