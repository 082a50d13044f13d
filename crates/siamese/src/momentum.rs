//! A momentum encoder, whose weights follow another encoder's.

use std::collections::HashMap;

use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_libtorch::{LibtorchError, lerp_all};
use tch::Tensor;

use crate::network::Tower;

/// Prefix of the names of its state, as in MoCo's files.
const PREFIX: &str = "encoder_k.";

/// `follower ← m · follower + (1 − m) · leader`, for weights alone: the moments of its batch
/// norms are those of its own inputs.
#[derive(Debug)]
pub(crate) struct Momentum {
    pub(crate) tower: Tower,
    parameters: Parameters,
    leaders: Vec<Tensor>,
    followers: Vec<Tensor>,
    kept: f64,
}

impl Momentum {
    /// Follows the parameters of `leader` with the same names, starting from their current values.
    pub(crate) fn new(
        leader: &Parameters,
        mut parameters: Parameters,
        tower: Tower,
        kept: f64,
    ) -> Self {
        let (mut leaders, mut followers) = (Vec::new(), Vec::new());
        for own in &parameters {
            let leader = leader.get(&own.name).expect("both are built by one configuration");
            if leader.trainable {
                leaders.push(leader.tensor.shallow_clone());
                followers.push(own.tensor.shallow_clone());
            }
        }
        parameters.train_only(|_| false);
        let momentum = Self { tower, parameters, leaders, followers, kept };
        momentum.begin(leader);
        momentum
    }

    /// Copies the leader's weights and moments.
    pub(crate) fn begin(&self, leader: &Parameters) {
        tch::no_grad(|| {
            for own in &self.parameters {
                let leader = leader.get(&own.name).expect("both are built by one configuration");
                own.tensor.shallow_clone().copy_(&leader.tensor);
            }
        });
    }

    /// Moves the weights towards the leader's.
    pub(crate) fn follow(&self) -> Result<(), LibtorchError> {
        lerp_all(&self.followers, &self.leaders, 1.0 - self.kept)
    }

    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let all = self.parameters.iter();
        all.map(|p| (format!("{PREFIX}{}", p.name), p.tensor.shallow_clone())).collect()
    }

    pub(crate) fn load(&self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let own: HashMap<String, Tensor> = saved
            .iter()
            .filter_map(|(name, tensor)| {
                Some((name.strip_prefix(PREFIX)?.to_owned(), tensor.shallow_clone()))
            })
            .collect();
        self.parameters.assign(&own)
    }
}
