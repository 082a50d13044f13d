//! The tasks and their names.

/// What a network sees or hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Frames in colour.
    Rgb,
    /// Frames in grey.
    Grey,
    /// Spectrograms.
    Sound,
}

/// Where a network is distilled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// What goes into the last stage, pooled.
    BeforeLast,
    /// The embedding.
    Embedding,
}

/// A task on clips, or a place of distillation into the network of colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Decode what was seen or heard; mean squared error.
    Reconstruct(Modality),
    /// Decode the frames that follow; mean squared error.
    Future(Modality),
    /// Tell whether frames are out of order; binary cross-entropy.
    Shuffle(Modality),
    /// Tell whether frames run backwards; binary cross-entropy.
    Reverse(Modality),
    /// Decode the second from the first; mean squared error.
    Transfer(Modality, Modality),
    /// Tell whether two belong to one clip; binary cross-entropy.
    Align(Modality, Modality),
    /// Bring two of one clip nearer than two of different clips; a margin of squared distances.
    Embed(Modality, Modality),
    /// Predict the features of the modality's network from those of the network of colour; mean
    /// squared error of normalised features, without a gradient into the former.
    Distill(Modality, Site),
}

use Modality::{Grey, Rgb, Sound};

/// All tasks, in the order of a vector of weights.
pub const TASKS: [Task; 19] = [
    Task::Reconstruct(Rgb),
    Task::Reconstruct(Grey),
    Task::Reconstruct(Sound),
    Task::Future(Rgb),
    Task::Future(Grey),
    Task::Shuffle(Rgb),
    Task::Shuffle(Grey),
    Task::Reverse(Rgb),
    Task::Reverse(Grey),
    Task::Transfer(Rgb, Grey),
    Task::Transfer(Grey, Rgb),
    Task::Align(Rgb, Sound),
    Task::Align(Rgb, Grey),
    Task::Embed(Rgb, Sound),
    Task::Embed(Rgb, Grey),
    Task::Distill(Grey, Site::BeforeLast),
    Task::Distill(Grey, Site::Embedding),
    Task::Distill(Sound, Site::BeforeLast),
    Task::Distill(Sound, Site::Embedding),
];

/// Names of [`TASKS`], in their order: the task's, a dot, and what it is on.
pub fn task_names() -> [&'static str; TASKS.len()] {
    TASKS.map(Task::name)
}

impl Task {
    /// Its name, such as `shuffle.rgb`.
    ///
    /// # Panics
    /// When it is not of [`TASKS`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruct(Rgb) => "reconstruct.rgb",
            Self::Reconstruct(Grey) => "reconstruct.grey",
            Self::Reconstruct(Sound) => "reconstruct.sound",
            Self::Future(Rgb) => "future.rgb",
            Self::Future(Grey) => "future.grey",
            Self::Shuffle(Rgb) => "shuffle.rgb",
            Self::Shuffle(Grey) => "shuffle.grey",
            Self::Reverse(Rgb) => "reverse.rgb",
            Self::Reverse(Grey) => "reverse.grey",
            Self::Transfer(Rgb, Grey) => "transfer.rgb_to_grey",
            Self::Transfer(Grey, Rgb) => "transfer.grey_to_rgb",
            Self::Align(Rgb, Sound) => "align.rgb_sound",
            Self::Align(Rgb, Grey) => "align.rgb_grey",
            Self::Embed(Rgb, Sound) => "embed.rgb_sound",
            Self::Embed(Rgb, Grey) => "embed.rgb_grey",
            Self::Distill(Grey, Site::BeforeLast) => "distill.grey_before_last",
            Self::Distill(Grey, Site::Embedding) => "distill.grey_embedding",
            Self::Distill(Sound, Site::BeforeLast) => "distill.sound_before_last",
            Self::Distill(Sound, Site::Embedding) => "distill.sound_embedding",
            other => panic!("{other:?} is none of the tasks"),
        }
    }
}
