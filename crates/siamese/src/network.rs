//! The network of both views: queries from one, and keys from the other.

use std::collections::HashMap;

use bauta_backbones::{
    Beginning, Init, ModelError, Moments, Parameters, ResNet, ResNetFolder, checkpoint::Mismatch,
};
use tch::{Device, Kind, Tensor};

use crate::heads::Head;
use crate::momentum::Momentum;
use crate::{Queue, SiameseConfig, SiameseError, unit};

/// Encoder and projector, named as in MoCo's files: the projector is `fc`.
#[derive(Debug)]
pub(crate) struct Tower {
    encoder: ResNet,
    projector: Head,
}

impl Tower {
    fn new(parameters: &mut Parameters, config: &SiameseConfig) -> Result<Self, SiameseError> {
        let encoder = ResNet::new(parameters.root(), config.encoder)?;
        let scope = &mut parameters.root();
        let projector = Head::new(scope.sub("fc"), config.encoder.features(), &config.projector());
        Ok(Self { encoder, projector })
    }

    fn project(&self, images: &Tensor, moments: Moments) -> Result<Tensor, SiameseError> {
        let samples = images.size().first().copied().unwrap_or_default();
        if let Moments::Batch { splits } = moments {
            // As in batch norms, a batch that cannot be divided evenly is one part.
            let parts = if samples % splits as i64 == 0 { splits as i64 } else { 1 };
            if samples < 2 * parts {
                return Err(SiameseError::Config(format!(
                    "{samples} image(s) in {parts} part(s) (splits {splits}) have no variance; \
                     take at least 2 per part"
                )));
            }
        }
        let features = self.encoder.forward(images, moments)?;
        // Under autocast, features have less than single precision.
        let projected = self.projector.forward(&features, moments);
        Ok(match projected.kind() {
            Kind::BFloat16 | Kind::Half => projected.to_kind(Kind::Float),
            _ => projected,
        })
    }
}

/// An order in which a batch is encoded and then restored, so that batch norms do not normalise a
/// key with the same images as its query.
#[derive(Debug)]
pub struct Shuffle {
    order: Tensor,
    back: Tensor,
}

impl Shuffle {
    /// The image that is encoded at each index, i64 `[B]`.
    pub fn order(&self) -> &Tensor {
        &self.order
    }

    /// Takes a permutation of a batch.
    ///
    /// # Panics
    /// When an index is outside the batch.
    pub fn new(order: &[i64], device: Device) -> Self {
        let mut back = vec![0_i64; order.len()];
        order.iter().zip(0..).for_each(|(&from, place)| back[from as usize] = place);
        let indices = |indices: &[i64]| Tensor::from_slice(indices).to_device(device);
        Self { order: indices(order), back: indices(&back) }
    }
}

/// The query network's output for images.
#[derive(Debug)]
pub struct Seen {
    /// The queries [B, C] compared with keys: the projection at unit length (MoCo), or the
    /// prediction.
    pub query: Tensor,
    projection: Tensor,
}

/// A siamese network with its state.
#[derive(Debug)]
pub struct Siamese {
    config: SiameseConfig,
    parameters: Parameters,
    tower: Tower,
    predictor: Option<Head>,
    momentum: Option<Momentum>,
    queue: Option<Queue>,
    /// Keys of the current step.
    fresh: Vec<Tensor>,
}

impl Siamese {
    /// Builds the network with the initial weights of a seed; the momentum encoder starts from
    /// the same weights, and the queue from random unit vectors.
    ///
    /// # Errors
    /// As [`SiameseConfig::check`], and when the encoder refuses its configuration.
    pub fn new(config: SiameseConfig, seed: u64, device: Device) -> Result<Self, SiameseError> {
        config.check()?;
        let mut parameters = Parameters::new(seed, device);
        let tower = Tower::new(&mut parameters, &config)?;
        let momentum = if config.method.has_momentum() {
            let mut own = Parameters::new(seed, device);
            let follower = Tower::new(&mut own, &config)?;
            Some(Momentum::new(&parameters, own, follower, config.momentum))
        } else {
            None
        };
        let predictor = config
            .predictor()
            .map(|parts| Head::new(parameters.root().sub("predictor"), config.dim, &parts));
        let queue = matches!(config.distance(), crate::Distance::InfoNce { .. }).then(|| {
            let sides = [config.dim as i64, config.queue as i64];
            let mut start = Parameters::new(seed, device);
            Queue::new(&start.root().add_frozen("queue", &sides, Init::Normal(1.0)))
        });
        Ok(Self { config, parameters, tower, predictor, momentum, queue, fresh: Vec::new() })
    }

    /// Loads a folder's weights where names and shapes are the same, including the head's; the
    /// momentum encoder starts from the same weights. The queue stays as it is.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the folder's encoder is another network; nothing is changed
    /// then.
    pub fn begin(&mut self, folder: &ResNetFolder) -> Result<Beginning, ModelError> {
        let begun = folder.begin(&self.config.encoder, &self.parameters)?;
        if let Some(momentum) = &self.momentum {
            momentum.begin(&self.parameters);
        }
        Ok(begun)
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &SiameseConfig {
        &self.config
    }

    /// The trained parameters, with the moments of batch norms: the encoder under torchvision's
    /// names, the projector `fc`, the predictor `predictor`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// MoCo's queue; `None` for other methods.
    pub fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    /// Features [B, D] of whole normalised images, computed with the running moments.
    ///
    /// # Errors
    /// When the images are of another shape.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, SiameseError> {
        Ok(self.tower.encoder.forward(images, Moments::Running)?)
    }

    /// Queries of normalised images [B, C, H, W], with gradients.
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn see(&self, images: &Tensor) -> Result<Seen, SiameseError> {
        let moments = self.moments();
        let projection = self.tower.project(images, moments)?;
        let query = match &self.predictor {
            Some(predictor) => predictor.forward(&projection, moments).to_kind(projection.kind()),
            None => unit(&projection),
        };
        Ok(Seen { query, projection })
    }

    /// Keys [B, C] of normalised images, without gradients.
    ///
    /// A momentum encoder computes them in the order of `shuffle`; without one they are the
    /// projections in `seen`, of the same images, or are computed if it is `None`.
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn keys(
        &self,
        images: &Tensor,
        seen: Option<&Seen>,
        shuffle: &Shuffle,
    ) -> Result<Tensor, SiameseError> {
        let _no_grad = tch::no_grad_guard();
        let (Some(momentum), moments) = (&self.momentum, self.moments()) else {
            return Ok(match seen {
                Some(seen) => seen.projection.detach(),
                None => self.tower.project(images, self.moments())?,
            });
        };
        let shuffled = images.index_select(0, &shuffle.order);
        let keys = momentum.tower.project(&shuffled, moments)?.index_select(0, &shuffle.back);
        Ok(if self.queue.is_some() { unit(&keys) } else { keys })
    }

    /// The sum of the distances of queries [B, C] from each of `keys`, times the method's weight.
    ///
    /// # Panics
    /// When there are no keys.
    pub fn distance(&self, queries: &Tensor, keys: &[&Tensor]) -> Tensor {
        let (distance, queue) = (self.config.distance(), self.queue.as_ref().map(Queue::keys));
        let distances = keys.iter().map(|keys| distance.of(queries, keys, queue));
        let sum = distances.reduce(|sum, next| sum + next).expect("queries have keys");
        match self.config.weight() {
            1.0 => sum,
            weight => sum * weight,
        }
    }

    /// The loss of a network with the same output for all images, for the given number of
    /// distances: ln(1 + K) each, a scalar; `None` for methods without a queue.
    pub fn uninformed(&self, distances: f64) -> Option<Tensor> {
        let one = self.queue.as_ref().map(|queue| (1.0 + queue.keys().size()[1] as f64).ln());
        one.map(|one| self.scalar(one * distances))
    }

    /// A number as a scalar tensor on the network's device.
    pub fn scalar(&self, value: f64) -> Tensor {
        Tensor::from(value as f32).to_device(self.parameters.device())
    }

    /// Keeps a step's keys, which enter the queue in [`Self::after_step`].
    pub fn remember(&mut self, keys: &[&Tensor]) {
        if self.queue.is_some() {
            self.fresh = keys.iter().map(|keys| keys.detach()).collect();
        }
    }

    /// Runs after a step: the momentum encoder moves, and the step's keys enter the queue.
    ///
    /// # Errors
    /// When libtorch refuses a call.
    pub fn after_step(&mut self) -> Result<(), SiameseError> {
        if let Some(momentum) = &self.momentum {
            momentum.follow()?;
        }
        let fresh = std::mem::take(&mut self.fresh);
        if let Some(queue) = &mut self.queue {
            fresh.iter().for_each(|keys| queue.enqueue(keys));
        }
        Ok(())
    }

    /// The momentum encoder and the queue, under MoCo's names.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let momentum = self.momentum.iter().flat_map(Momentum::state);
        momentum.chain(self.queue.iter().flat_map(Queue::state)).collect()
    }

    /// Continues from a saved [`Self::state`].
    ///
    /// # Errors
    /// The names and shapes that do not agree, for example in another method's state.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let known: Vec<String> = self.state().into_iter().map(|(name, _)| name).collect();
        let mut unexpected: Vec<String> =
            saved.keys().filter(|name| !known.contains(name)).cloned().collect();
        unexpected.sort();
        if !unexpected.is_empty() {
            return Err(Mismatch { unexpected, ..Mismatch::default() });
        }
        if let Some(queue) = &mut self.queue {
            queue.load(saved)?;
        }
        self.momentum.as_ref().map_or(Ok(()), |momentum| momentum.load(saved))
    }

    fn moments(&self) -> Moments {
        Moments::Batch { splits: self.config.splits }
    }
}
