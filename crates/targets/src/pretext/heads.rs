//! A task's own layers: a decoder, or a few linear layers.

use std::collections::HashMap;

use bauta_backbones::{
    Linear, Scope, SpacetimeConvConfig, UpsamplingDecoder, UpsamplingDecoderConfig,
};
use tch::{Kind, Tensor};

use super::{Modality, PretextConfig, Site, Task};

/// Width of the joint embedding.
const JOINT: usize = 128;

/// The heads of all tasks.
#[derive(Debug)]
pub(super) struct Heads(HashMap<&'static str, Head>);

#[derive(Debug)]
pub(super) enum Head {
    Decoder(UpsamplingDecoder),
    Score(Linear),
    Match(Matching),
    Joint(Joint),
    Student(Student),
}

/// A perceptron that scores whether two embeddings belong to one clip.
#[derive(Debug)]
pub(super) struct Matching {
    hidden: Linear,
    score: Linear,
}

/// Projections of two embeddings into one space, scaled to length 1.
#[derive(Debug)]
pub(super) struct Joint([Linear; 2]);

/// A projection of the student's features to the teacher's width, where the widths differ.
#[derive(Debug)]
pub(super) struct Student(Option<Linear>);

impl Heads {
    pub(super) fn new(mut scope: Scope<'_>, tasks: &[Task], config: &PretextConfig) -> Self {
        let heads = tasks.iter().map(|task| {
            let name = task.name();
            (name, Head::new(scope.sub(name), *task, config))
        });
        Self(heads.collect())
    }

    pub(super) fn of(&self, task: Task) -> &Head {
        &self.0[task.name()]
    }
}

impl Head {
    fn new(mut scope: Scope<'_>, task: Task, config: &PretextConfig) -> Self {
        let clip = config.of_frames(3);
        let features = clip.features();
        match task {
            Task::Reconstruct(to) | Task::Future(to) | Task::Transfer(_, to) => {
                let (strides, channels) = match to {
                    Modality::Rgb => (backwards(&clip), 3),
                    Modality::Grey => (backwards(&clip), 1),
                    Modality::Flow => (backwards(&clip), 2),
                    Modality::Sound => {
                        (vec![[1, 2]; 4], config.sound.map_or(0, |[channels, ..]| channels))
                    }
                };
                let width = 2 * config.width;
                let sizes = UpsamplingDecoderConfig { features, width, strides, channels };
                Self::Decoder(UpsamplingDecoder::new(scope, &sizes))
            }
            Task::Shuffle(_) | Task::Reverse(_) => {
                Self::Score(Linear::new(scope, features, 1, true))
            }
            Task::Align(..) => Self::Match(Matching {
                hidden: Linear::new(scope.sub("hidden"), 2 * features, features, true),
                score: Linear::new(scope.sub("score"), features, 1, true),
            }),
            Task::Embed(..) => Self::Joint(Joint(
                ["first", "second"]
                    .map(|name| Linear::new(scope.sub(name), features, JOINT, false)),
            )),
            Task::Distill(from, site) => {
                let before = clip.features_before_last();
                let [own, wanted] = match (site, from) {
                    (Site::Embedding, _) => [features; 2],
                    (Site::BeforeLast, Modality::Sound) => [before, features],
                    (Site::BeforeLast, _) => [before; 2],
                };
                Self::Student(Student(
                    (own != wanted).then(|| Linear::new(scope, own, wanted, true)),
                ))
            }
        }
    }
}

/// The strides from the feature map back to the clip.
fn backwards(clip: &SpacetimeConvConfig) -> Vec<[usize; 2]> {
    clip.strides().into_iter().rev().collect()
}

impl Matching {
    /// Scores [B, 1].
    pub(super) fn forward(&self, one: &Tensor, other: &Tensor) -> Tensor {
        self.score.forward(&self.hidden.forward(&Tensor::cat(&[one, other], 1)).relu())
    }
}

impl Joint {
    /// Both embeddings in the joint space, [B, 128].
    pub(super) fn forward(&self, one: &Tensor, other: &Tensor) -> [Tensor; 2] {
        let unit = |x: Tensor| {
            let length = x.square().sum_dim_intlist(&[1_i64][..], true, Kind::Float);
            x * (length + 1e-8).rsqrt()
        };
        let [first, second] = &self.0;
        [unit(first.forward(one)), unit(second.forward(other))]
    }
}

impl Student {
    /// Maps features [B, D] to the teacher's width.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.0.as_ref().map_or_else(|| x.shallow_clone(), |projection| projection.forward(x))
    }
}
