//! Masked words as targets: cross-entropy over the vocabulary (M3AE §3).

use tch::{Device, Kind, Tensor};

use crate::TargetError;

/// The loss of logits [N, vocabulary] of N masked words against their ids i64 \[N\]: the sum of
/// each word's cross-entropy times its share \[N\], a scalar in single precision; 0 for no words.
///
/// With shares 1 / (masked words of the text · texts) this is the mean over the texts of each
/// text's mean, in which texts without a masked word count as 0.
///
/// # Errors
/// [`TargetError::Shape`] when the three differ in N.
pub fn word_loss(logits: &Tensor, ids: &Tensor, shares: &Tensor) -> Result<Tensor, TargetError> {
    let count = ids.size();
    if logits.size().len() != 2 || logits.size()[..1] != count || shares.size() != count {
        let expected = format!("[{}, vocabulary], one row for each of as many words", count[0]);
        return Err(TargetError::Shape { found: logits.size(), expected });
    }
    let log_shares = logits.to_kind(Kind::Float).log_softmax(-1, Kind::Float);
    let of_words = log_shares.gather(1, &ids.unsqueeze(1), false).squeeze_dim(1);
    Ok(-(of_words * shares).sum(Kind::Float))
}

/// The sum of the scalar losses of a batch's groups, on `device`; 0 if there are none.
pub fn sum_of(losses: &[Tensor], device: Device) -> Tensor {
    let zero = Tensor::zeros([0_i64; 0], (Kind::Float, device));
    losses.iter().fold(zero, |sum, loss| sum + loss)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uniform_logits_cost_the_logarithm_of_the_vocabulary(
            hidden in proptest::collection::vec(1_usize..7, 1..5), vocabulary in 2_i64..40_000,
        ) {
            // `hidden` holds the number of masked words of each text.
            let shares: Vec<f32> = hidden
                .iter()
                .flat_map(|&count| std::iter::repeat_n(1.0 / count as f32, count))
                .collect();
            let count = shares.len() as i64;
            let logits = Tensor::zeros([count, vocabulary], (Kind::Float, Device::Cpu));
            let ids = Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(vocabulary);
            let loss = word_loss(&logits, &ids, &Tensor::from_slice(&shares)).unwrap();
            let mean = loss.double_value(&[]) / hidden.len() as f64;
            prop_assert!((mean - (vocabulary as f64).ln()).abs() < 1e-4, "{}", mean);
        }
    }

    #[test]
    fn no_words_cost_nothing_and_what_does_not_fit_is_refused() {
        let device = Device::Cpu;
        let none = Tensor::zeros([0], (Kind::Float, device));
        let logits = Tensor::zeros([0, 5], (Kind::Float, device));
        let ids = Tensor::zeros([0], (Kind::Int64, device));
        assert_eq!(word_loss(&logits, &ids, &none).unwrap().double_value(&[]), 0.0);
        let error = word_loss(&logits, &Tensor::from_slice(&[1_i64]), &none).unwrap_err();
        assert!(error.to_string().contains("[0, 5]"), "{error}");
    }
}
