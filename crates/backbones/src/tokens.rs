//! The parts of an encoder's output: the class token, the patch tokens, and the feature vector of
//! an image.

use tch::Tensor;

/// The class token of an encoder's output: [B, 1 + N, D] to [B, D].
pub fn class_token(tokens: &Tensor) -> Tensor {
    tokens.select(1, 0)
}

/// The patch tokens of an encoder's output: [B, 1 + N, D] to [B, N, D], without a copy.
///
/// # Panics
/// When there is no class token to remove.
pub fn patch_tokens(tokens: &Tensor) -> Tensor {
    tokens.narrow(1, 1, tokens.size()[1] - 1)
}

/// The feature vector of a whole image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of the patch tokens.
    Mean,
    /// The class token.
    Cls,
}

impl Pooling {
    /// Computes it from an encoder's output: [B, 1 + N, D] to [B, D].
    pub fn pool(self, tokens: &Tensor) -> Tensor {
        match self {
            Self::Mean => patch_tokens(tokens).mean_dim([1_i64].as_slice(), false, None),
            Self::Cls => class_token(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_token_comes_first_and_is_not_in_the_mean() {
        let tokens = Tensor::from_slice(&[9.0_f32, 8.0, 1.0, 2.0, 3.0, 6.0]).view([1, 3, 2]);
        let values = |x: &Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        assert_eq!(values(&class_token(&tokens)), [9.0, 8.0]);
        assert_eq!(values(&patch_tokens(&tokens)), [1.0, 2.0, 3.0, 6.0]);
        assert_eq!(patch_tokens(&tokens).size(), [1, 2, 2]);
        assert_eq!(values(&Pooling::Cls.pool(&tokens)), [9.0, 8.0]);
        assert_eq!(values(&Pooling::Mean.pool(&tokens)), [2.0, 4.0]);
    }
}
