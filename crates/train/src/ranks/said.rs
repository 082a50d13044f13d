//! Small exchanges between all ranks: a mean of numbers, and a text from rank 0.

use tch::{Kind, Tensor};

use super::{Ranks, RanksError};

/// Base in which a length is sent as two numbers: single precision is exact only up to 2²⁴.
const HALF: usize = 1 << 16;

impl Ranks {
    /// The mean over all ranks of a tensor on the CPU, computed in single precision and returned in
    /// the tensor's kind, with the same bits on each rank.
    ///
    /// All must call it with tensors of one size; a single process gets its own back.
    ///
    /// # Errors
    /// When a rank is gone, or does not call it in time.
    pub fn mean_of(&self, tensor: &Tensor) -> Result<Tensor, RanksError> {
        if self.count() == 1 {
            return Ok(tensor.shallow_clone());
        }
        let mut mean = [tensor.detach().to_kind(Kind::Float)];
        self.mean(&mut mean)?;
        Ok(mean[0].to_kind(tensor.kind()))
    }

    /// The text of rank 0, on all ranks; all must call it, and the others' texts are ignored.
    ///
    /// # Errors
    /// When a rank is gone, or does not call it in time.
    pub fn told_by_first(&self, text: &str) -> Result<String, RanksError> {
        if self.count() == 1 {
            return Ok(text.to_owned());
        }
        let mut told = text.as_bytes().to_vec();
        let halves = [told.len() / HALF, told.len() % HALF].map(|half| half as f32);
        self.hand_on(
            &[(0, vec![2])],
            |_| Tensor::from_slice(&halves),
            |_, theirs| {
                let half = |place: i64| theirs.double_value(&[place]) as usize;
                told = vec![0; half(0) * HALF + half(1)];
            },
        )?;
        if told.is_empty() {
            return Ok(String::new());
        }
        let numbers: Vec<f32> = told.iter().map(|&byte| f32::from(byte)).collect();
        self.hand_on(
            &[(0, vec![told.len() as i64])],
            |_| Tensor::from_slice(&numbers),
            |_, theirs| {
                let numbers = Vec::<f32>::try_from(theirs).expect("a vector in single precision");
                told = numbers.into_iter().map(|number| number as u8).collect();
            },
        )?;
        Ok(String::from_utf8(told).expect("rank 0 gave a text"))
    }
}
