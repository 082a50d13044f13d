//! Batches of two views with the masks of their step (MixMask §3.2).

use bauta_data::{Batch, Read};
use bauta_eval::host_tensor;
use bauta_libtorch::normal;
use bauta_masking::{Filler, Partners, UnMix};
use bauta_recipe::Filling;
use bauta_siamese::{FillTensors, Shuffle};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Tensor};

/// The second view, which is read next to each image.
pub const SECOND_VIEW: Read = Read::Again(Purpose::named("second view"));

/// Two views of a batch, and how its first views are masked and mixed.
#[derive(Debug)]
pub struct Views {
    /// u8 pixels [B, C, H, W] of the first and the second views.
    pub(super) pixels: [Tensor; 2],
    /// The order in which keys are encoded.
    pub(super) shuffle: Shuffle,
    /// The mask, and what masked cells show; `None` if views are not masked.
    pub(super) fill: Option<(FillTensors, Shown)>,
    /// How images are blended or pasted, if they are.
    pub(super) unmix: Option<UnMix>,
}

/// What masked cells show.
#[derive(Debug)]
pub(super) enum Shown {
    /// Another image of the batch.
    Partner,
    /// The mean of all images.
    Mean,
    /// This noise [B, C, H, W].
    Noise(Tensor),
}

/// How masks are drawn, and what they show.
#[derive(Clone)]
pub(super) struct Masking {
    pub(super) filler: Filler,
    pub(super) partners: Partners,
    pub(super) fill: Filling,
}

/// How batches that were read twice become [`Views`].
#[derive(Clone)]
pub struct Viewing {
    pub(super) seed: u64,
    /// The number of this process among those that train, from 0.
    pub(super) rank: u64,
    pub(super) device: Device,
    pub(super) masking: Option<Masking>,
    pub(super) unmix: bool,
}

impl Viewing {
    /// Prepares batches, on a loader's threads.
    pub fn prepare(self) -> impl Fn(Batch) -> Views + Clone + Send + Sync {
        move |batch| self.draw(&batch)
    }

    /// One mask, one order and one mixture per step, each from its own stream.
    fn draw(&self, batch: &Batch) -> Views {
        let (samples, step) = (batch.indices.len(), batch.step);
        let pixels = [&batch.pixels, &batch.reads[0].pixels];
        let pixels = pixels.map(|pixels| host_tensor(pixels).to_device(self.device));
        let [_, _, height, width] = pixels[0].size()[..] else {
            unreachable!("pixels are [B, C, H, W]")
        };
        let fill = self.masking.as_ref().map(|masking| self.fill(masking, &pixels[0], step));
        let image = [height as usize, width as usize];
        let unmix = self.unmix.then(|| UnMix::draw(image, &mut self.stream("un-mix", step)));
        let mut order: Vec<i64> = (0..samples as i64).collect();
        self.stream("order of the keys", step).shuffle(&mut order);
        let shuffle = Shuffle::new(&order, self.device);
        Views { pixels, shuffle, fill, unmix }
    }

    /// The mask of a step for these images, and what it shows.
    pub(super) fn fill(
        &self,
        masking: &Masking,
        pixels: &Tensor,
        step: u64,
    ) -> (FillTensors, Shown) {
        let samples = pixels.size()[0] as usize;
        let fill = &mut self.stream("fill", step);
        let fill = masking.filler.draw(masking.partners, samples, fill);
        let shown = match masking.fill {
            Filling::Partner => Shown::Partner,
            Filling::Mean => Shown::Mean,
            Filling::Noise => {
                // Each process has its own noise, since it has its own images.
                let key = StreamKey { epoch: self.rank, ..self.key("noise", step) };
                let noise = normal(&pixels.size(), 1.0, &mut key.stream());
                Shown::Noise(noise.to_device(self.device))
            }
        };
        (FillTensors::new(&fill, self.device), shown)
    }

    fn stream(&self, what: &str, step: u64) -> RandomStream {
        self.key(what, step).stream()
    }

    fn key(&self, what: &str, step: u64) -> StreamKey {
        StreamKey { seed: self.seed, purpose: Purpose::named(what), epoch: 0, sample: step }
    }
}

impl Shown {
    /// Normalised images [B, C, H, W] with their masked pixels replaced.
    pub(super) fn apply(&self, fill: &FillTensors, images: &Tensor) -> Tensor {
        match self {
            Self::Partner => fill.mix(images),
            Self::Mean => fill.erase(images, 0.0),
            Self::Noise(noise) => fill.fill(images, noise),
        }
    }
}

impl Views {
    /// Pixels and masks as named tensors.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        let [first, second] = self.pixels.each_ref().map(Tensor::shallow_clone);
        let order = self.shuffle.order().shallow_clone();
        let mut tensors = vec![("first", first), ("second", second), ("order", order)];
        if let Some((fill, _)) = &self.fill {
            tensors.push(("masked", fill.masked.shallow_clone()));
            tensors.push(("partners", fill.partners.shallow_clone()));
        }
        tensors
    }
}
