//! Self-supervised tasks on clips that are seen and heard, and distillation between their
//! networks (ELo, arXiv 2002.12177, section 3.1).
//!
//! Each modality has a network of its own: colour, grey, sound. [`TASKS`] lists what can be asked
//! of them, each by a name such as `shuffle.rgb`; [`Pretext::losses`] takes the losses of those
//! that are wanted, and makes no pass that none of them needs. Which clips are shuffled, reversed
//! or mismatched is an argument.

mod heads;
mod running_scale;
mod task;

use std::cell::OnceCell;

use bauta_backbones::{
    ClipFeatures, ModelError, Moments, Scope, SpacetimeConv, SpacetimeConvConfig, SpectrogramConv,
    UpsamplingDecoder,
};
use tch::{Device, Kind, Reduction, Tensor};

use self::heads::{Head, Heads};
pub use self::running_scale::RunningScale;
pub use self::task::{Modality, Site, TASKS, Task, task_names};

/// Squared distance by which a positive of the joint embedding must be nearer than a negative.
const MARGIN: f64 = 0.5;

/// Shares of red, green and blue in grey (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// Sizes of the networks and their clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PretextConfig {
    /// Channels after a stem; features have four times as many.
    pub width: usize,
    /// Frames that the networks see, T, at least 2.
    pub frames: usize,
    /// Further frames of a clip, which are predicted from them, F, at least 1 and at most T.
    pub future: usize,
    /// Height and width of the frames.
    pub size: usize,
    /// Channels, bands and windows of a spectrogram.
    pub sound: [usize; 3],
}

/// Clips of a step, on the device.
#[derive(Debug)]
pub struct SoundingClips {
    /// u8 pixels [B, 3, T + F, H, W].
    pub pixels: Tensor,
    /// Spectrograms of about mean 0 and deviation 1, f32 [B, C, bands, windows].
    pub sound: Tensor,
    /// Frames out of order, in half of the clips.
    pub shuffled: Reordered,
    /// Frames in reverse, in half of the clips.
    pub reversed: Reordered,
}

/// An order of the seen frames of each clip.
#[derive(Debug)]
pub struct Reordered {
    /// The frame at each place, i64 [B, T].
    pub order: Tensor,
    /// 1 where that is not their own order, f32 \[B\].
    pub label: Tensor,
}

impl SoundingClips {
    /// The same on a device.
    pub fn to_device(&self, device: Device) -> Self {
        let Self { pixels, sound, shuffled, reversed } = self;
        Self {
            pixels: pixels.to_device(device),
            sound: sound.to_device(device),
            shuffled: shuffled.to_device(device),
            reversed: reversed.to_device(device),
        }
    }
}

impl Reordered {
    fn to_device(&self, device: Device) -> Self {
        Self { order: self.order.to_device(device), label: self.label.to_device(device) }
    }
}

/// The networks of all modalities and the heads of all tasks.
#[derive(Debug)]
pub struct Pretext {
    config: PretextConfig,
    rgb: SpacetimeConv,
    grey: SpacetimeConv,
    sound: SpectrogramConv,
    heads: Heads,
}

impl Pretext {
    /// Adds the networks `rgb`, `grey` and `sound`, and `heads.TASK`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size cannot be.
    pub fn new(mut scope: Scope<'_>, config: PretextConfig) -> Result<Self, ModelError> {
        let PretextConfig { width, frames, future, size, sound: [channels, bands, windows] } =
            config;
        if frames < 2 || future == 0 || future > frames || size * bands * windows == 0 {
            return Err(ModelError::Config(format!(
                "{config:?}: a clip has 2 frames or more, 1 future frame or more and no more of \
                 these, and no side is 0"
            )));
        }
        let network = |channels| SpacetimeConvConfig::tiny(channels, width);
        Ok(Self {
            rgb: SpacetimeConv::new(scope.sub("rgb"), network(3))?,
            grey: SpacetimeConv::new(scope.sub("grey"), network(1))?,
            sound: SpectrogramConv::new(scope.sub("sound"), channels, width)?,
            heads: Heads::new(scope.sub("heads"), &config),
            config,
        })
    }

    /// The network that is kept in the end.
    pub fn rgb(&self) -> &SpacetimeConv {
        &self.rgb
    }

    /// The losses of the tasks that `wanted` names, in the order of [`TASKS`]; none of the
    /// others. The running moments of the networks follow each pass.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another shape.
    ///
    /// # Panics
    /// Unless `wanted` has an entry a task.
    pub fn losses(
        &self,
        clips: &SoundingClips,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, ModelError> {
        assert_eq!(wanted.len(), TASKS.len(), "one answer a task");
        let pass = Pass::new(self, clips)?;
        let taken = TASKS.iter().zip(wanted);
        taken.map(|(task, wanted)| wanted.then(|| pass.loss(*task)).transpose()).collect()
    }

    /// Embeddings [B, D] of u8 pixels [B, 3, T or more, H, W] by the network of colour alone,
    /// with its running moments.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another shape.
    pub fn embed(
        network: &SpacetimeConv,
        pixels: &Tensor,
        frames: usize,
    ) -> Result<Tensor, ModelError> {
        let seen = to_unit(&pixels.narrow(2, 0, frames as i64));
        Ok(network.forward(&seen, Moments::Running)?.embedding)
    }
}

/// u8 pixels in [−1, 1].
fn to_unit(pixels: &Tensor) -> Tensor {
    pixels.to_kind(Kind::Float) / 127.5 - 1.0
}

/// What one step's tasks share: frames, and the passes that were made.
struct Pass<'a> {
    networks: &'a Pretext,
    clips: &'a SoundingClips,
    /// Frames in [−1, 1], [B, 3, T + F, H, W].
    colour: Tensor,
    grey: OnceCell<Tensor>,
    features: [OnceCell<ClipFeatures>; 3],
}

/// The batch's own moments.
const OWN: Moments = Moments::Batch { splits: 1 };

impl<'a> Pass<'a> {
    fn new(networks: &'a Pretext, clips: &'a SoundingClips) -> Result<Self, ModelError> {
        let PretextConfig { frames, future, size, sound, .. } = networks.config;
        let found = clips.pixels.size();
        let sides = [3, frames + future, size, size].map(|side| side as i64);
        if found.len() != 5 || found[1..] != sides {
            let expected = format!("[B, 3, {}, {size}, {size}]", frames + future);
            return Err(ModelError::Shape { what: "the clips", found, expected });
        }
        let heard = clips.sound.size();
        if heard.len() != 4 || heard[0] != found[0] || heard[1..] != sound.map(|s| s as i64) {
            let expected = format!("[{}, {}, {}, {}]", found[0], sound[0], sound[1], sound[2]);
            return Err(ModelError::Shape { what: "the spectrograms", found: heard, expected });
        }
        let colour = to_unit(&clips.pixels);
        Ok(Self { networks, clips, colour, grey: OnceCell::new(), features: Default::default() })
    }

    /// All frames of a modality, [B, C, T + F, H, W].
    fn frames(&self, modality: Modality) -> &Tensor {
        match modality {
            Modality::Rgb => &self.colour,
            Modality::Grey => self.grey.get_or_init(|| {
                let shares = Tensor::from_slice(&GREY).to_device(self.colour.device());
                (&self.colour * shares.view([1, 3, 1, 1, 1])).sum_dim_intlist(
                    &[1_i64][..],
                    true,
                    Kind::Float,
                )
            }),
            Modality::Sound => unreachable!("no task is on frames of sound"),
        }
    }

    /// What the networks see of it.
    fn seen(&self, modality: Modality) -> Tensor {
        match modality {
            Modality::Sound => self.clips.sound.shallow_clone(),
            _ => self.frames(modality).narrow(2, 0, self.networks.config.frames as i64),
        }
    }

    fn network(&self, modality: Modality, x: &Tensor) -> Result<ClipFeatures, ModelError> {
        match modality {
            Modality::Rgb => self.networks.rgb.forward(x, OWN),
            Modality::Grey => self.networks.grey.forward(x, OWN),
            Modality::Sound => self.networks.sound.forward(x, OWN),
        }
    }

    /// The pass over the clips as they are, made once.
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
        let frames = self.networks.config.frames as i64;
        match (task, head) {
            (Task::Reconstruct(Modality::Sound), Head::Decoder(decoder)) => {
                let target = self.clips.sound.unsqueeze(2);
                let map = &self.features(Modality::Sound)?.map;
                let sides = sides(&target);
                Ok(decoder.forward(map, sides, OWN).mse_loss(&target, Reduction::Mean))
            }
            (Task::Reconstruct(of), Head::Decoder(decoder)) => {
                self.decode(decoder, of, &self.seen(of))
            }
            (Task::Transfer(from, to), Head::Decoder(decoder)) => {
                self.decode(decoder, from, &self.seen(to))
            }
            (Task::Future(of), Head::Decoder(decoder)) => {
                let future = self.networks.config.future as i64;
                self.decode(decoder, of, &self.frames(of).narrow(2, frames, future))
            }
            (Task::Shuffle(of), Head::Score(score)) => {
                let Reordered { order, label } = &self.clips.shuffled;
                let x = reorder(&self.seen(of), order);
                Ok(yes_or_no(&score.forward(&self.network(of, &x)?.embedding), label))
            }
            (Task::Reverse(of), Head::Score(score)) => {
                let Reordered { order, label } = &self.clips.reversed;
                let x = reorder(&self.seen(of), order);
                Ok(yes_or_no(&score.forward(&self.network(of, &x)?.embedding), label))
            }
            (Task::Align(one, other), Head::Match(matching)) => {
                let one = &self.features(one)?.embedding;
                let other = &self.features(other)?.embedding;
                let together = matching.forward(one, other);
                let apart = matching.forward(one, &next(other));
                let label = Tensor::cat(&[together.ones_like(), apart.zeros_like()], 0);
                Ok(yes_or_no(&Tensor::cat(&[together, apart], 0), &label.squeeze_dim(1)))
            }
            (Task::Embed(one, other), Head::Joint(joint)) => {
                let [one, other] =
                    joint.forward(&self.features(one)?.embedding, &self.features(other)?.embedding);
                let near = squared_distance(&one, &other);
                let far = squared_distance(&one, &next(&other));
                Ok((near - far + MARGIN).relu().mean(Kind::Float))
            }
            (Task::Distill(from, site), Head::Student(student)) => {
                let at = |features: &ClipFeatures| match site {
                    Site::BeforeLast => features.before_last.shallow_clone(),
                    Site::Embedding => features.embedding.shallow_clone(),
                };
                // Knowledge flows into the network of colour alone.
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

/// Time, height and width of [B, C, T, H, W].
fn sides(clips: &Tensor) -> [i64; 3] {
    let size = clips.size();
    [size[2], size[3], size[4]]
}

/// The next clip's in the place of each.
fn next(x: &Tensor) -> Tensor {
    x.roll([1_i64], [0_i64])
}

/// Frames [B, C, T, H, W] in an order [B, T] of each clip's own.
pub fn reorder(clips: &Tensor, order: &Tensor) -> Tensor {
    let size = clips.size();
    let places = order.view([size[0], 1, size[2], 1, 1]).expand_as(clips);
    clips.gather(2, &places, false)
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

/// Rows of mean 0 and deviation 1, so that sites are comparable.
fn normalized(x: &Tensor) -> Tensor {
    let width = *x.size().last().expect("features have a width");
    x.layer_norm([width], None::<Tensor>, None::<Tensor>, 1e-5, false)
}
