//! Distances of queries from keys, and of mixed queries from the keys of both their sources.

use tch::Tensor;

/// Lower bound of the norms that rows are divided by.
const EPS: f64 = 1e-12;

/// The mean distance of queries [N, C] from keys [N, C], row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Cross-entropy of identifying a query's own key among a queue ([`info_nce`]).
    InfoNce {
        /// Temperature T, above 0.
        temperature: f64,
    },
    /// Negative cosine, in [-1, 1] (SimSiam, equation 1).
    Cosine,
    /// Squared distance of the unit vectors, 2 − 2 cos (BYOL, equation 2).
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

/// Scales rows [N, C] to length 1; a row of zeros stays zero.
pub fn unit(rows: &Tensor) -> Tensor {
    // libtorch's norm has a finite gradient at 0, its square root does not.
    rows / rows.norm_scalaropt_dim(2, [1], true).clamp_min(EPS)
}

/// MoCo's loss: mean cross-entropy of identifying each query's own key among it and the queue, with
/// logits `[q · k, q · queue] / T`, the first of which is the correct class.
///
/// Queries and keys are [N, C], the queue [C, K]; all are unit vectors.
///
/// ```
/// use bauta_siamese::info_nce;
/// use tch::Tensor;
/// let (query, queue) = (
///     Tensor::from_slice(&[1.0, 0.0]).view([1, 2]),
///     Tensor::eye(2, tch::kind::DOUBLE_CPU),
/// );
/// // Three logits, 1, 1 and 0: ln(1 + 1 + e⁻¹).
/// let loss = info_nce(&query, &query, &queue, 1.0).double_value(&[]);
/// assert!((loss - 2.367879441_f64.ln()).abs() < 1e-9);
/// ```
pub fn info_nce(queries: &Tensor, keys: &Tensor, queue: &Tensor, temperature: f64) -> Tensor {
    let own = (queries * keys).sum_dim_intlist(&[1_i64][..], true, None);
    let logits = Tensor::cat(&[own, queries.matmul(queue)], 1) / temperature;
    (logits.logsumexp(&[1_i64][..], false) - logits.select(1, 0)).mean(queries.kind())
}

/// The distances of mixed queries [N, C] from the keys of their own images and from those of the
/// partners that fill them: the soft distance is λ times the first plus 1 − λ times the second.
///
/// `partner_of` `[N]` says, for each image, which mixed image it fills
/// ([`bauta_masking::Fill::partner_of`]), so row i of both is compared with the key of image i.
pub fn soft_distance(
    distance: impl Fn(&Tensor) -> Tensor,
    mixed: &Tensor,
    partner_of: &Tensor,
) -> [Tensor; 2] {
    [distance(mixed), distance(&mixed.index_select(0, partner_of))]
}
