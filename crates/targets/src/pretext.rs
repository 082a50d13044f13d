//! Self-supervised tasks on clips with frames and sound, and distillation between the networks of
//! their modalities (ELo, arXiv 2002.12177, section 3.1).
//!
//! Each modality has its own network: RGB always, and greyscale, optical flow and sound where they
//! are configured. [`TASKS`] lists the tasks, each with a name such as `shuffle.rgb`;
//! [`Pretext::losses`] computes the losses of the wanted tasks and skips forward passes that none
//! of them needs. The caller chooses which clips are shuffled or reversed; a mismatched pair takes
//! its second input from the clip before it in the batch, for the first from the last.

mod heads;
mod inputs;
mod running_scale;
mod task;

use std::cell::OnceCell;

use bauta_backbones::{
    ClipFeatures, ModelError, Moments, Scope, SpacetimeConv, SpectrogramConv, UpsamplingDecoder,
};
use tch::{Kind, Reduction, Tensor};

use self::heads::{Head, Heads};
pub use self::inputs::{FrameNetwork, PretextConfig, Reordered, SoundingClips, reorder};
use self::inputs::{SeenFlow, sides};
pub use self::running_scale::RunningScale;
pub use self::task::{Modality, Site, TASKS, Task};

/// Margin in squared distance between positives and negatives of the joint embedding.
const MARGIN: f64 = 0.5;

/// Weights of red, green and blue in greyscale (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// The networks of all modalities and the heads of all tasks.
#[derive(Debug)]
pub struct Pretext {
    config: PretextConfig,
    tasks: Vec<Task>,
    rgb: SpacetimeConv,
    grey: Option<SpacetimeConv>,
    flow: Option<SpacetimeConv>,
    sound: Option<SpectrogramConv>,
    heads: Heads,
}

impl Pretext {
    /// Adds the networks `rgb`, `grey`, `flow` and `sound` of the chosen modalities, and the heads
    /// `heads.TASK`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is invalid.
    pub fn new(mut scope: Scope<'_>, config: PretextConfig) -> Result<Self, ModelError> {
        config.check()?;
        let mut frames = |name: &str, channels: usize| {
            SpacetimeConv::new(scope.sub(name), config.of_frames(channels))
        };
        let rgb = frames("rgb", 3)?;
        let grey = config.grey.then(|| frames("grey", 1)).transpose()?;
        let flow = config.flow.then(|| frames("flow", 2)).transpose()?;
        // The sound network's features are as wide as the others'.
        let width = rgb.config().features() / 4;
        let sound = config
            .sound
            .map(|[channels, ..]| SpectrogramConv::new(scope.sub("sound"), channels, width));
        let (sound, tasks) = (sound.transpose()?, config.tasks());
        let heads = Heads::new(scope.sub("heads"), &tasks, &config);
        Ok(Self { config, tasks, rgb, grey, flow, sound, heads })
    }

    /// The tasks of the chosen modalities, in the order of [`TASKS`].
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The RGB network, which is kept after training.
    pub fn rgb(&self) -> &SpacetimeConv {
        &self.rgb
    }

    /// The losses of the `wanted` tasks, in the order of [`Self::tasks`], and `None` for others.
    /// Each forward pass updates the running moments of its network.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another shape.
    ///
    /// # Panics
    /// Unless `wanted` has one entry per task.
    pub fn losses(
        &self,
        clips: &SoundingClips,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, ModelError> {
        assert_eq!(wanted.len(), self.tasks.len(), "one answer per task");
        let pass = Pass::new(self, clips)?;
        let taken = self.tasks.iter().zip(wanted);
        taken.map(|(task, wanted)| wanted.then(|| pass.loss(*task)).transpose()).collect()
    }

    /// Embeddings [B, D] of u8 pixels [B, 3, T or more, H, W] by the RGB network alone, with its
    /// running moments.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another shape.
    pub fn embed(
        network: &SpacetimeConv,
        pixels: &Tensor,
        frames: usize,
    ) -> Result<Tensor, ModelError> {
        let found = pixels.size();
        if found.len() != 5 || found[2] < frames as i64 {
            let expected = format!("[B, 3, {frames} or more, H, W]");
            return Err(ModelError::Shape { what: "the clips", found, expected });
        }
        let seen = to_unit(&pixels.narrow(2, 0, frames as i64));
        Ok(network.forward(&seen, Moments::Running)?.embedding)
    }
}

/// u8 pixels in [−1, 1].
fn to_unit(pixels: &Tensor) -> Tensor {
    pixels.to_kind(Kind::Float) / 127.5 - 1.0
}

/// State that the tasks of one step share: frames, and the forward passes made so far.
struct Pass<'a> {
    networks: &'a Pretext,
    clips: &'a SoundingClips,
    /// Frames in [−1, 1], [B, 3, T + F, H, W].
    colour: Tensor,
    grey: OnceCell<Tensor>,
    flow: OnceCell<SeenFlow>,
    features: [OnceCell<ClipFeatures>; 4],
}

/// The batch's own moments.
const OWN: Moments = Moments::Batch { splits: 1 };

impl<'a> Pass<'a> {
    fn new(networks: &'a Pretext, clips: &'a SoundingClips) -> Result<Self, ModelError> {
        networks.config.check_clips(clips)?;
        Ok(Self {
            networks,
            clips,
            colour: to_unit(&clips.pixels),
            grey: OnceCell::new(),
            flow: OnceCell::new(),
            features: Default::default(),
        })
    }

    fn grey(&self) -> &Tensor {
        self.grey.get_or_init(|| {
            let shares = Tensor::from_slice(&GREY).to_device(self.colour.device());
            let shared = &self.colour * shares.view([1, 3, 1, 1, 1]);
            shared.sum_dim_intlist(&[1_i64][..], true, Kind::Float)
        })
    }

    fn flow(&self) -> &SeenFlow {
        self.flow.get_or_init(|| {
            let fields = self.clips.flow.as_ref().expect("the clips were checked");
            SeenFlow::new(fields, self.networks.config.frames as i64)
        })
    }

    /// The input of a modality's network.
    fn seen(&self, modality: Modality) -> Tensor {
        let first = |x: &Tensor| x.narrow(2, 0, self.networks.config.frames as i64);
        match modality {
            Modality::Rgb => first(&self.colour),
            Modality::Grey => first(self.grey()),
            Modality::Flow => self.flow().seen(),
            Modality::Sound => {
                self.clips.sound.as_ref().expect("the clips were checked").shallow_clone()
            }
        }
    }

    /// The frames or fields that follow the input of a modality's network.
    fn future(&self, modality: Modality) -> Tensor {
        let PretextConfig { frames, future, .. } = self.networks.config;
        let last = |x: &Tensor| x.narrow(2, frames as i64, future as i64);
        match modality {
            Modality::Rgb => last(&self.colour),
            Modality::Grey => last(self.grey()),
            Modality::Flow => self.flow().future(),
            Modality::Sound => unreachable!("no task is on the future of sound"),
        }
    }

    fn network(&self, modality: Modality, x: &Tensor) -> Result<ClipFeatures, ModelError> {
        let Pretext { rgb, grey, flow, sound, .. } = self.networks;
        let there = "the tasks are those of the networks that there are";
        match modality {
            Modality::Rgb => rgb.forward(x, OWN),
            Modality::Grey => grey.as_ref().expect(there).forward(x, OWN),
            Modality::Flow => flow.as_ref().expect(there).forward(x, OWN),
            Modality::Sound => sound.as_ref().expect(there).forward(x, OWN),
        }
    }

    /// Features of the unmodified clips, computed once.
    fn features(&self, modality: Modality) -> Result<&ClipFeatures, ModelError> {
        let cell = &self.features[modality as usize];
        if cell.get().is_none() {
            let made = self.network(modality, &self.seen(modality))?;
            cell.set(made).expect("it was empty");
        }
        Ok(cell.get().expect("it was made above"))
    }

    fn loss(&self, task: Task) -> Result<Tensor, ModelError> {
        let head = self.networks.heads.of(task);
        match (task, head) {
            (Task::Reconstruct(Modality::Sound), Head::Decoder(decoder)) => {
                let target = self.seen(Modality::Sound).unsqueeze(2);
                self.decode(decoder, Modality::Sound, &target)
            }
            (Task::Reconstruct(of), Head::Decoder(decoder)) => {
                self.decode(decoder, of, &self.seen(of))
            }
            (Task::Transfer(from, to), Head::Decoder(decoder)) => {
                self.decode(decoder, from, &self.seen(to))
            }
            (Task::Future(of), Head::Decoder(decoder)) => {
                self.decode(decoder, of, &self.future(of))
            }
            (Task::Shuffle(of), Head::Score(score)) => {
                let Reordered { order, label } = &self.clips.shuffled;
                let (x, label) = match of {
                    Modality::Flow => self.flow().of_shuffled(order),
                    _ => (reorder(&self.seen(of), order), label.shallow_clone()),
                };
                Ok(yes_or_no(&score.forward(&self.network(of, &x)?.embedding), &label))
            }
            (Task::Reverse(of), Head::Score(score)) => {
                let Reordered { order, label } = &self.clips.reversed;
                let x = match of {
                    Modality::Flow => self.flow().of_reversed(order),
                    _ => reorder(&self.seen(of), order),
                };
                Ok(yes_or_no(&score.forward(&self.network(of, &x)?.embedding), label))
            }
            (Task::Align(one, other), Head::Match(matching)) => {
                let one = &self.features(one)?.embedding;
                let other = &self.features(other)?.embedding;
                let together = matching.forward(one, other);
                let apart = matching.forward(one, &before(other));
                let label = Tensor::cat(&[together.ones_like(), apart.zeros_like()], 0);
                Ok(yes_or_no(&Tensor::cat(&[together, apart], 0), &label.squeeze_dim(1)))
            }
            (Task::Embed(one, other), Head::Joint(joint)) => {
                let [one, other] =
                    joint.forward(&self.features(one)?.embedding, &self.features(other)?.embedding);
                let near = squared_distance(&one, &other);
                let far = squared_distance(&one, &before(&other));
                Ok((near - far + MARGIN).relu().mean(Kind::Float))
            }
            (Task::Distill(from, site), Head::Student(student)) => {
                let at = |features: &ClipFeatures| match site {
                    Site::BeforeLast => features.before_last.shallow_clone(),
                    Site::Embedding => features.embedding.shallow_clone(),
                };
                // Only the RGB network is trained by distillation.
                let teacher = normalized(&at(self.features(from)?).detach());
                let own = student.forward(&at(self.features(Modality::Rgb)?));
                Ok(normalized(&own).mse_loss(&teacher, Reduction::Mean))
            }
            (task, _) => unreachable!("{task:?} was made with a head of its own"),
        }
    }

    fn decode(
        &self,
        decoder: &UpsamplingDecoder,
        from: Modality,
        target: &Tensor,
    ) -> Result<Tensor, ModelError> {
        let found = decoder.forward(&self.features(from)?.map, sides(target), OWN);
        Ok(found.mse_loss(target, Reduction::Mean))
    }
}

/// The rows of a batch moved down by one: each clip gets the row of the one before, the first that
/// of the last.
fn before(x: &Tensor) -> Tensor {
    x.roll([1_i64], [0_i64])
}

/// Binary cross-entropy of scores [N, 1] against labels \[N\].
fn yes_or_no(scores: &Tensor, label: &Tensor) -> Tensor {
    let none = None::<Tensor>;
    scores.squeeze_dim(1).binary_cross_entropy_with_logits(
        label,
        none.as_ref(),
        none.as_ref(),
        Reduction::Mean,
    )
}

/// |a − b|² of rows, \[N\].
fn squared_distance(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().sum_dim_intlist(&[1_i64][..], false, Kind::Float)
}

/// Rows standardised to mean 0 and standard deviation 1, so that sites are comparable.
fn normalized(x: &Tensor) -> Tensor {
    let width = *x.size().last().expect("features have a width");
    x.layer_norm([width], None::<Tensor>, None::<Tensor>, 1e-5, false)
}
