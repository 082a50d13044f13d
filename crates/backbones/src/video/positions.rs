//! Tables of positions in spacetime.

use bauta_masking::Grid;
use tch::Tensor;

use super::VideoPositions;
use crate::{Init, Scope};

/// Initial standard deviation of learned positions. The reference truncates at ±2, which is a
/// hundred standard deviations.
const STD: f64 = 0.02;

/// The positions of a class token and of all patches of a clip.
#[derive(Debug)]
pub(crate) enum Positions {
    /// A table of spatial positions [1, S, D], one of time steps [1, T', D], and the class token's
    /// row [1, 1, D].
    Separable { spatial: Tensor, temporal: Tensor, class: Option<Tensor> },
    /// All rows [1, 1 + L, D], or [1, L, D] without a class token.
    Joint { table: Tensor, class: bool },
}

impl Positions {
    /// Adds `{prefix}pos_embed_spatial`, `_temporal` and `_class`, or `{prefix}pos_embed`.
    pub(crate) fn new(
        scope: &mut Scope<'_>,
        prefix: &str,
        kind: VideoPositions,
        grid: Grid,
        dim: usize,
        class: bool,
    ) -> Self {
        let rows = usize::from(class) + grid.tokens();
        let width = dim as i64;
        let mut learned = |name: &str, rows: usize| {
            let shape = [1, rows as i64, width];
            scope.add(&format!("{prefix}pos_embed{name}"), &shape, Init::Normal(STD))
        };
        match kind {
            VideoPositions::Separable => Self::Separable {
                spatial: learned("_spatial", grid.step().tokens()),
                temporal: learned("_temporal", grid.time()),
                class: class.then(|| learned("_class", 1)),
            },
            VideoPositions::Joint => Self::Joint { table: learned("", rows), class },
            VideoPositions::SineCosine => {
                let mut values = vec![0.0; if class { dim } else { 0 }];
                values.extend(sine_cosine(grid.tokens(), dim));
                let shape = [1, rows as i64, width];
                let name = format!("{prefix}pos_embed");
                Self::Joint { table: scope.add_frozen(&name, &shape, Init::Values(values)), class }
            }
        }
    }

    /// The positions of the patches, [L, D]: row t · S + s.
    pub(crate) fn patches(&self) -> Tensor {
        match self {
            Self::Separable { spatial, temporal, .. } => {
                (spatial + temporal.transpose(0, 1)).flatten(0, 1)
            }
            Self::Joint { table, class } => {
                let first = i64::from(*class);
                table.get(0).narrow(0, first, table.size()[1] - first)
            }
        }
    }

    /// The position of the class token, [1, 1, D], if there is one.
    pub(crate) fn class(&self) -> Option<Tensor> {
        match self {
            Self::Separable { class, .. } => class.as_ref().map(Tensor::shallow_clone),
            Self::Joint { table, class } => class.then(|| table.narrow(1, 0, 1)),
        }
    }
}

/// VideoMAE's table [L, D]: token i has sin(i · ω) on even and cos(i · ω) on odd channels,
/// ω = 10000^(−2 ⌊k / 2⌋ / D) for channel k.
pub(crate) fn sine_cosine(tokens: usize, dim: usize) -> Vec<f32> {
    let value = |token: usize, channel: usize| {
        let power = 2.0 * (channel / 2) as f64 / dim as f64;
        let angle = token as f64 / 10_000_f64.powf(power);
        (if channel.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..tokens).flat_map(|token| (0..dim).map(move |channel| value(token, channel))).collect()
}
