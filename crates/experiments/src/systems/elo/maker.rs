//! The inputs of a run's steps, built from the clips in memory.

use bauta_data::Share;
use bauta_data::video::FrameOrder;
use bauta_streams::{Purpose, RandomStream, StreamKey};
use bauta_targets::pretext::{PretextConfig, Reordered, SoundingClips};
use tch::Tensor;

use super::drawing::Part;

/// Builds inputs; everything in it is a function of the run's seed and the step.
pub(super) struct Maker {
    pub train: Part,
    pub held_out: Part,
    pub test: Part,
    pub sizes: PretextConfig,
    pub seed: u64,
    pub batch: usize,
    /// The part of each batch that this process computes.
    pub share: Share,
}

impl Maker {
    fn stream(&self, purpose: &str, epoch: u64, sample: u64) -> RandomStream {
        let purpose = Purpose::named(purpose);
        StreamKey { seed: self.seed, purpose, epoch, sample }.stream()
    }

    /// The input of a step. Each round has its own order.
    pub fn step(&self, step: u64, round: u64) -> SoundingClips {
        let count = self.train.labels.len();
        let per_epoch = (count / self.batch) as u64;
        let (epoch, place) = ((round << 32) + step / per_epoch, step % per_epoch);
        let mut order: Vec<usize> = (0..count).collect();
        self.stream("clip order", epoch, 0).shuffle(&mut order);
        let chosen = self.share.part(&order[place as usize * self.batch..][..self.batch]);
        let frames = self.sizes.frames;
        let reordered = |purpose: &str, draw: fn(usize, &mut RandomStream) -> FrameOrder| {
            let order = |&clip: &usize| {
                let mut stream = self.stream(purpose, epoch, clip as u64);
                let FrameOrder { frames: order, changed } = draw(frames, &mut stream);
                (order, f32::from(u8::from(changed)))
            };
            let (orders, labels): (Vec<_>, Vec<_>) = chosen.iter().map(order).unzip();
            let order = Tensor::from_slice(&orders.concat()).view([chosen.len() as i64, -1]);
            Reordered { order, label: Tensor::from_slice(&labels) }
        };
        SoundingClips {
            pixels: self.pixels(&self.train, chosen),
            flow: self.sizes.flow.then(|| self.flow(&self.train, chosen)),
            sound: self.sizes.sound.map(|sides| self.sound(sides, &self.train, chosen)),
            shuffled: reordered("frames out of order", FrameOrder::shuffled),
            reversed: reordered("frames backwards", FrameOrder::reversed),
        }
    }

    /// u8 pixels of some clips of a part, by index.
    pub fn pixels(&self, part: &Part, chosen: &[usize]) -> Tensor {
        let PretextConfig { frames, future, size, .. } = self.sizes;
        let sides = [3, frames + future, size, size];
        let rows = rows(&part.pixels, sides.iter().product(), chosen);
        Tensor::from_slice(&rows).view(&shape(chosen.len(), &sides)[..])
    }

    fn flow(&self, part: &Part, chosen: &[usize]) -> Tensor {
        let PretextConfig { frames, future, size, .. } = self.sizes;
        let sides = [2, frames + future - 1, size, size];
        let rows = rows(&part.flow, sides.iter().product(), chosen);
        Tensor::from_slice(&rows).view(&shape(chosen.len(), &sides)[..])
    }

    fn sound(&self, sides: [usize; 3], part: &Part, chosen: &[usize]) -> Tensor {
        let rows = rows(&part.sound, sides.iter().product(), chosen);
        Tensor::from_slice(&rows).view(&shape(chosen.len(), &sides)[..])
    }
}

fn rows<T: Copy>(all: &[T], length: usize, chosen: &[usize]) -> Vec<T> {
    chosen.iter().flat_map(|&row| &all[row * length..][..length]).copied().collect()
}

fn shape(count: usize, sides: &[usize]) -> Vec<i64> {
    [count].iter().chain(sides).map(|&side| side as i64).collect()
}
