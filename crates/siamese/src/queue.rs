//! The keys of earlier steps, MoCo's negatives.

use std::collections::HashMap;

use bauta_backbones::checkpoint::Mismatch;
use tch::{Kind, Tensor};

use crate::unit;

/// K keys of C values; the oldest are overwritten first.
#[derive(Debug)]
pub struct Queue {
    /// [C, K], columns of length 1.
    keys: Tensor,
    /// Column of the next key.
    place: i64,
}

impl Queue {
    /// Starts with `columns` [C, K], scaled to length 1.
    ///
    /// # Panics
    /// When the queue would be empty.
    pub fn new(columns: &Tensor) -> Self {
        let size = columns.size();
        assert!(size.len() == 2 && !size.contains(&0), "a queue of {size:?} values");
        let keys = unit(&columns.detach().transpose(0, 1)).transpose(0, 1).contiguous();
        Self { keys, place: 0 }
    }

    /// The keys [C, K].
    pub fn keys(&self) -> &Tensor {
        &self.keys
    }

    /// Column of the next key, in 0..K.
    pub fn place(&self) -> usize {
        self.place as usize
    }

    /// Overwrites the oldest keys with `keys`, [N, C] with N at most K.
    ///
    /// # Panics
    /// When there are more than K.
    pub fn enqueue(&mut self, keys: &Tensor) {
        let (length, count) = (self.keys.size()[1], keys.size()[0]);
        assert!(count <= length, "{count} keys do not fit a queue of {length}");
        let columns = keys.detach().transpose(0, 1);
        let before_end = count.min(length - self.place);
        for (from, to, count) in [(0, self.place, before_end), (before_end, 0, count - before_end)]
        {
            if count > 0 {
                self.keys.narrow(1, to, count).copy_(&columns.narrow(1, from, count));
            }
        }
        self.place = (self.place + count) % length;
    }

    /// The state under MoCo's names: `queue` and `queue_ptr`.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let place = Tensor::from_slice(&[self.place]);
        vec![("queue".to_owned(), self.keys.shallow_clone()), ("queue_ptr".to_owned(), place)]
    }

    /// Continues from a saved state.
    pub(crate) fn load(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let mut mismatch = Mismatch::default();
        let mut checked = |name: &str, wanted: Vec<i64>| match saved.get(name) {
            None => mismatch.missing.push(name.to_owned()),
            Some(found) if found.size() != wanted => {
                mismatch.misshaped.push((name.to_owned(), found.size(), wanted));
            }
            Some(_) => {}
        };
        checked("queue", self.keys.size());
        checked("queue_ptr", vec![1]);
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        self.keys.copy_(&saved["queue"]);
        let place = saved["queue_ptr"].to_kind(Kind::Int64).int64_value(&[0]);
        self.place = place.rem_euclid(self.keys.size()[1]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use proptest::prelude::*;
    use tch::Device;

    use super::*;

    fn queue(dim: i64, length: i64, seed: u64) -> Queue {
        let purpose = Purpose::named("queue");
        let mut stream = StreamKey { seed, purpose, epoch: 0, sample: 0 }.stream();
        Queue::new(&bauta_libtorch::normal(&[dim, length], 1.0, &mut stream))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn keys_stand_in_the_order_in_which_they_came(
            batches in prop::collection::vec(1_i64..5, 1..12), length in 5_usize..9,
        ) {
            let mut queue = queue(2, length as i64, 0);
            let begun = queue.keys().copy();
            let (mut count, mut wanted) = (0_i64, vec![None; length]);
            for batch in batches {
                let numbers = Tensor::arange_start(count, count + batch, (Kind::Float, Device::Cpu));
                let rows = Tensor::stack(&[numbers.cos(), numbers.sin()], 1);
                queue.enqueue(&rows);
                for number in count..count + batch {
                    wanted[number as usize % length] = Some(number);
                }
                count += batch;
                prop_assert_eq!(queue.place(), count as usize % length);
            }
            for (column, wanted) in wanted.into_iter().enumerate() {
                let found = queue.keys().select(1, column as i64);
                prop_assert!((found.norm().double_value(&[]) - 1.0).abs() < 1e-6);
                let angle = |number: i64| (number as f64).cos();
                let first = wanted.map_or(begun.double_value(&[0, column as i64]), angle);
                prop_assert!((found.double_value(&[0]) - first).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_saved_queue_goes_on_and_another_is_refused() {
        let mut own = queue(3, 6, 0);
        own.enqueue(&Tensor::eye(3, (Kind::Float, Device::Cpu)));
        let saved: HashMap<String, Tensor> =
            own.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let mut again = queue(3, 6, 1);
        assert_ne!(again.keys(), own.keys());
        again.load(&saved).unwrap();
        assert_eq!((again.keys(), again.place()), (own.keys(), 3));
        let refused = queue(3, 4, 0).load(&saved).unwrap_err();
        assert_eq!(refused.misshaped.len(), 1);
        assert_eq!(again.load(&HashMap::new()).unwrap_err().missing, ["queue", "queue_ptr"]);
    }
}
