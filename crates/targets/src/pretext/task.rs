//! The tasks and their names.

/// The input modality of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// RGB frames.
    Rgb,
    /// Greyscale frames.
    Grey,
    /// Optical flow between frames.
    Flow,
    /// Spectrograms.
    Sound,
}

/// The features a network is distilled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The pooled input of the last stage.
    BeforeLast,
    /// The embedding.
    Embedding,
}

/// A task on clips, or a distillation into the RGB network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Reconstruct the input; mean squared error.
    Reconstruct(Modality),
    /// Predict the following frames; mean squared error.
    Future(Modality),
    /// Classify whether frames are out of order; binary cross-entropy.
    Shuffle(Modality),
    /// Classify whether frames run backwards; binary cross-entropy.
    Reverse(Modality),
    /// Decode the second from the first; mean squared error.
    Transfer(Modality, Modality),
    /// Classify whether two inputs belong to one clip; binary cross-entropy.
    Align(Modality, Modality),
    /// Embed two inputs of one clip nearer than inputs of different clips; a margin loss on squared
    /// distances.
    Embed(Modality, Modality),
    /// Predict the features of the modality's network from those of the RGB network; mean squared
    /// error of normalised features, without a gradient into the modality's network.
    Distill(Modality, Site),
}

use Modality::{Flow, Grey, Rgb, Sound};

/// All tasks, in the order of the vector of their weights.
pub const TASKS: [Task; 29] = [
    Task::Reconstruct(Rgb),
    Task::Reconstruct(Grey),
    Task::Reconstruct(Flow),
    Task::Reconstruct(Sound),
    Task::Future(Rgb),
    Task::Future(Grey),
    Task::Future(Flow),
    Task::Shuffle(Rgb),
    Task::Shuffle(Grey),
    Task::Shuffle(Flow),
    Task::Reverse(Rgb),
    Task::Reverse(Grey),
    Task::Reverse(Flow),
    Task::Transfer(Rgb, Grey),
    Task::Transfer(Grey, Rgb),
    Task::Transfer(Rgb, Flow),
    Task::Transfer(Flow, Rgb),
    Task::Align(Rgb, Sound),
    Task::Align(Rgb, Grey),
    Task::Align(Rgb, Flow),
    Task::Embed(Rgb, Sound),
    Task::Embed(Rgb, Grey),
    Task::Embed(Rgb, Flow),
    Task::Distill(Grey, Site::BeforeLast),
    Task::Distill(Grey, Site::Embedding),
    Task::Distill(Flow, Site::BeforeLast),
    Task::Distill(Flow, Site::Embedding),
    Task::Distill(Sound, Site::BeforeLast),
    Task::Distill(Sound, Site::Embedding),
];

impl Task {
    /// The modalities whose networks or inputs the task needs.
    pub fn modalities(self) -> [Modality; 2] {
        match self {
            Self::Reconstruct(of) | Self::Future(of) | Self::Shuffle(of) | Self::Reverse(of) => {
                [of, of]
            }
            Self::Transfer(one, other) | Self::Align(one, other) | Self::Embed(one, other) => {
                [one, other]
            }
            Self::Distill(from, _) => [from, Rgb],
        }
    }

    /// The task's name, such as `shuffle.rgb`.
    ///
    /// # Panics
    /// When the task is not in [`TASKS`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruct(Rgb) => "reconstruct.rgb",
            Self::Reconstruct(Grey) => "reconstruct.grey",
            Self::Reconstruct(Flow) => "reconstruct.flow",
            Self::Reconstruct(Sound) => "reconstruct.sound",
            Self::Future(Rgb) => "future.rgb",
            Self::Future(Grey) => "future.grey",
            Self::Future(Flow) => "future.flow",
            Self::Shuffle(Rgb) => "shuffle.rgb",
            Self::Shuffle(Grey) => "shuffle.grey",
            Self::Shuffle(Flow) => "shuffle.flow",
            Self::Reverse(Rgb) => "reverse.rgb",
            Self::Reverse(Grey) => "reverse.grey",
            Self::Reverse(Flow) => "reverse.flow",
            Self::Transfer(Rgb, Grey) => "transfer.rgb_to_grey",
            Self::Transfer(Grey, Rgb) => "transfer.grey_to_rgb",
            Self::Transfer(Rgb, Flow) => "transfer.rgb_to_flow",
            Self::Transfer(Flow, Rgb) => "transfer.flow_to_rgb",
            Self::Align(Rgb, Sound) => "align.rgb_sound",
            Self::Align(Rgb, Grey) => "align.rgb_grey",
            Self::Align(Rgb, Flow) => "align.rgb_flow",
            Self::Embed(Rgb, Sound) => "embed.rgb_sound",
            Self::Embed(Rgb, Grey) => "embed.rgb_grey",
            Self::Embed(Rgb, Flow) => "embed.rgb_flow",
            Self::Distill(Grey, Site::BeforeLast) => "distill.grey_before_last",
            Self::Distill(Grey, Site::Embedding) => "distill.grey_embedding",
            Self::Distill(Flow, Site::BeforeLast) => "distill.flow_before_last",
            Self::Distill(Flow, Site::Embedding) => "distill.flow_embedding",
            Self::Distill(Sound, Site::BeforeLast) => "distill.sound_before_last",
            Self::Distill(Sound, Site::Embedding) => "distill.sound_embedding",
            other => panic!("{other:?} is not one of the tasks"),
        }
    }
}
