//! Distances of queries from keys, and of mixed queries from the keys of both of their sources.

use tch::Tensor;

/// Added to norms before they divide.
const EPS: f64 = 1e-12;

/// A distance of queries [N, C] from keys [N, C], row by row, as a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Cross-entropy of identifying the own key among a queue ([`info_nce`]).
    InfoNce {
        /// Temperature T, above 0.
        temperature: f64,
    },
    /// Negative cosine, in [-1, 1] (SimSiam, equation 1).
    Cosine,
    /// Squared distance of the directions, 2 − 2 cos (BYOL, equation 2).
    Direction,
}

impl Distance {
    /// Measures queries against keys; for [`Self::InfoNce`] both are unit vectors, and `queue`
    /// [C, K] holds other keys.
    ///
    /// # Panics
    /// When [`Self::InfoNce`] has no queue, or shapes do not agree.
    pub fn of(self, queries: &Tensor, keys: &Tensor, queue: Option<&Tensor>) -> Tensor {
        let cosine = || {
            let products = unit(queries) * unit(keys);
            products.sum_dim_intlist(&[1_i64][..], false, None).mean(queries.kind())
        };
        match self {
            Self::InfoNce { temperature } => {
                info_nce(queries, keys, queue.expect("InfoNCE has a queue"), temperature)
            }
            Self::Cosine => -cosine(),
            Self::Direction => 2.0 - cosine() * 2.0,
        }
    }
}

/// Rows [N, C] at the length 1; a row of zeros stays.
pub fn unit(rows: &Tensor) -> Tensor {
    // libtorch's norm has a gradient at 0, its square root has not.
    rows / rows.norm_scalaropt_dim(2, [1], true).clamp_min(EPS)
}

/// Mean cross-entropy of each query's own key among it and the queue, MoCo's loss:
/// logits `[q · k, q · queue] / T`, the first of them right.
///
/// Queries and keys are [N, C], the queue [C, K]; all are unit vectors.
///
/// ```
/// use bauta_siamese::info_nce;
/// use tch::Tensor;
/// let (query, queue) = (Tensor::from_slice(&[1.0, 0.0]).view([1, 2]), Tensor::eye(2, tch::kind::DOUBLE_CPU));
/// // Three logits, 1, 1 and 0: ln(1 + 1 + e⁻¹).
/// let loss = info_nce(&query, &query, &queue, 1.0).double_value(&[]);
/// assert!((loss - 2.367879441_f64.ln()).abs() < 1e-9);
/// ```
pub fn info_nce(queries: &Tensor, keys: &Tensor, queue: &Tensor, temperature: f64) -> Tensor {
    let own = (queries * keys).sum_dim_intlist(&[1_i64][..], true, None);
    let logits = Tensor::cat(&[own, queries.matmul(queue)], 1) / temperature;
    (logits.logsumexp(&[1_i64][..], false) - logits.select(1, 0)).mean(queries.kind())
}

/// The distances of mixed queries [N, C] from what belongs to their own images and to those
/// whose partners fill them: the soft distance is λ of the first and 1 − λ of the second.
///
/// `partner_of` `[N]` says, for each image, which mixed image it fills
/// ([`bauta_masking::Fill::partner_of`]), so row i of the second is held against image i as well.
pub fn soft_distance(
    distance: impl Fn(&Tensor) -> Tensor,
    mixed: &Tensor,
    partner_of: &Tensor,
) -> [Tensor; 2] {
    [distance(mixed), distance(&mixed.index_select(0, partner_of))]
}
