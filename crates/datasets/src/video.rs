//! Video data sets: their names, their options, and the program that reads them.

mod augment;
mod ffmpeg;
mod files;
mod made;
mod names;
mod sampling;
mod sounding;

pub use self::augment::{ClipAugment, ClipCrop};
pub use self::ffmpeg::{check_ffmpeg, ffmpeg_package, find_ffmpeg};
pub use self::files::VideoOptions;
pub use self::made::{MovingMnistOptions, MovingStampsOptions, PanOptions, Walls};
pub use self::names::{ClipDataset, ClipOptions};
pub use self::sampling::{ClipSampling, ShortVideo, Timeline};
pub use self::sounding::SoundingVideoOptions;
