//! Sizes of the networks, the clips of a step, and the part of a flow that the networks see.

use bauta_backbones::{ModelError, SpacetimeConvConfig};
use tch::{Device, Kind, Tensor};

use super::{Modality, TASKS, Task};

/// Flow is clipped to this many pixels and scaled so that they become 1.
const FLOW_LIMIT: f64 = 20.0;

/// Units of stored flow in one pixel.
const A_PIXEL: f64 = 1000.0;

/// The networks that process the frames of a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameNetwork {
    /// [`SpacetimeConvConfig::tiny`].
    #[default]
    Tiny,
    /// [`SpacetimeConvConfig::fifty`].
    Fifty,
}

/// Sizes of the networks and their clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PretextConfig {
    /// The networks of frames.
    pub network: FrameNetwork,
    /// Channels after the networks' stems; features have [`FrameNetwork::factor`] times as many.
    pub width: usize,
    /// Number of input frames, T, at least 2.
    pub frames: usize,
    /// Number of future frames to predict, F, at least 1 and at most T.
    pub future: usize,
    /// Height and width of the frames.
    pub size: usize,
    /// Whether there is a network for greyscale frames.
    pub grey: bool,
    /// Whether there is a network for optical flow.
    pub flow: bool,
    /// Channels, bands and windows of a spectrogram, where there is a network for sound.
    pub sound: Option<[usize; 3]>,
}

/// Clips of a step, on the device.
#[derive(Debug)]
pub struct SoundingClips {
    /// u8 pixels [B, 3, T + F, H, W].
    pub pixels: Tensor,
    /// Optical flow from each frame to the next in thousandths of a pixel, to the right and
    /// downwards, i16 [B, 2, T + F − 1, H, W]; where there is a network for optical flow.
    pub flow: Option<Tensor>,
    /// Spectrograms of about mean 0 and standard deviation 1, f32 [B, C, bands, windows]; where
    /// there is a network for sound.
    pub sound: Option<Tensor>,
    /// Frames out of order, in half of the clips.
    pub shuffled: Reordered,
    /// Frames in reverse, in half of the clips.
    pub reversed: Reordered,
}

/// An order of the input frames of each clip.
#[derive(Debug)]
pub struct Reordered {
    /// The frame at each place, i64 [B, T].
    pub order: Tensor,
    /// 1 where it is not the original order, f32 \[B\].
    pub label: Tensor,
}

impl SoundingClips {
    /// The same clips on `device`.
    pub fn to_device(&self, device: Device) -> Self {
        let Self { pixels, flow, sound, shuffled, reversed } = self;
        let moved = |x: &Option<Tensor>| x.as_ref().map(|x| x.to_device(device));
        Self {
            pixels: pixels.to_device(device),
            flow: moved(flow),
            sound: moved(sound),
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

impl FrameNetwork {
    /// Number of features divided by [`PretextConfig::width`].
    pub fn factor(self) -> usize {
        match self {
            Self::Tiny => 4,
            Self::Fifty => 32,
        }
    }
}

impl PretextConfig {
    /// Sizes of a network for frames with `channels` channels.
    pub(super) fn of_frames(&self, channels: usize) -> SpacetimeConvConfig {
        match self.network {
            FrameNetwork::Tiny => SpacetimeConvConfig::tiny(channels, self.width),
            FrameNetwork::Fifty => SpacetimeConvConfig::fifty(channels, self.width),
        }
    }

    /// The tasks of the chosen modalities, in the order of [`TASKS`].
    pub fn tasks(&self) -> Vec<Task> {
        let is_there = |modality: &Modality| match modality {
            Modality::Rgb => true,
            Modality::Grey => self.grey,
            Modality::Flow => self.flow,
            Modality::Sound => self.sound.is_some(),
        };
        TASKS.into_iter().filter(|task| task.modalities().iter().all(is_there)).collect()
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        let Self { frames, future, size, .. } = *self;
        let [_, bands, windows] = self.sound.unwrap_or([1; 3]);
        if frames < 2 || future == 0 || future > frames || size * bands * windows == 0 {
            return Err(ModelError::Config(format!(
                "{self:?}: a clip must have at least 2 frames, at least 1 and at most as many \
                 future frames, and no side of 0"
            )));
        }
        Ok(())
    }

    /// Refuses clips with other shapes, or without the data of a modality that has a network.
    pub(super) fn check_clips(&self, clips: &SoundingClips) -> Result<(), ModelError> {
        let Self { frames, future, size, .. } = *self;
        let found = clips.pixels.size();
        let all = frames + future;
        if found.len() != 5 || found[1..] != [3, all, size, size].map(|side| side as i64) {
            let expected = format!("[B, 3, {all}, {size}, {size}]");
            return Err(ModelError::Shape { what: "the clips", found, expected });
        }
        let flow = self.flow.then(|| vec![2, all - 1, size, size]);
        let sound = self.sound.map(|sides| sides.to_vec());
        for (what, sides, given) in
            [("the flow", flow, &clips.flow), ("the spectrograms", sound, &clips.sound)]
        {
            let Some(sides) = sides else { continue };
            let sides = sides.into_iter().map(|side| side as i64);
            let wanted: Vec<i64> = found[..1].iter().copied().chain(sides).collect();
            let given = given.as_ref().map_or_else(Vec::new, Tensor::size);
            if given != wanted {
                let expected = format!("{wanted:?}");
                return Err(ModelError::Shape { what, found: given, expected });
            }
        }
        Ok(())
    }
}

/// Time, height and width of [B, C, T, H, W].
pub(super) fn sides(clips: &Tensor) -> [i64; 3] {
    let size = clips.size();
    [size[2], size[3], size[4]]
}

/// Reorders frames [B, C, T, H, W], each clip by its own row of `order` [B, T].
pub fn reorder(clips: &Tensor, order: &Tensor) -> Tensor {
    let size = clips.size();
    let places = order.view([size[0], 1, size[2], 1, 1]).expand_as(clips);
    clips.gather(2, &places, false)
}

/// The flow between all frames of clips, in [−1, 1], and the number of input frames.
#[derive(Debug)]
pub(super) struct SeenFlow {
    /// [B, 2, T + F − 1, H, W].
    fields: Tensor,
    frames: i64,
}

impl SeenFlow {
    pub(super) fn new(fields: &Tensor, frames: i64) -> Self {
        let limit = FLOW_LIMIT * A_PIXEL;
        let fields = fields.to_kind(Kind::Float).clamp(-limit, limit) / limit;
        Self { fields, frames }
    }

    /// The flow between the input frames, with the last field repeated: [B, 2, T, H, W].
    pub(super) fn seen(&self) -> Tensor {
        last_twice(&self.fields.narrow(2, 0, self.frames - 1))
    }

    /// The flow from the last input frame to the end of the clip, [B, 2, F, H, W].
    pub(super) fn future(&self) -> Tensor {
        let all = self.fields.size()[2];
        self.fields.narrow(2, self.frames - 1, all - self.frames + 1)
    }

    /// The flow fields between the input frames in another order, [B, 2, T, H, W], and 1 where it is
    /// not their own, \[B\]. Their order is that of `order` [B, T] without the last frame, which has
    /// no field; the field that is repeated is the last after shuffling, or the place of the
    /// repetition would tell shuffled clips from others.
    pub(super) fn of_shuffled(&self, order: &Tensor) -> (Tensor, Tensor) {
        let own = Tensor::arange(self.frames - 1, (Kind::Int64, order.device()));
        let last = order.argmax(1, true);
        let order = order.gather(1, &(&own + own.ge_tensor(&last)), false);
        let label = order.ne_tensor(&own).any_dim(1, false).to_kind(Kind::Float);
        let fields = self.fields.narrow(2, 0, self.frames - 1);
        (last_twice(&reorder(&fields, &order)), label)
    }

    /// The flow between the input frames in an order [B, T] that is the original or its reverse:
    /// the reverse has negated fields in reverse order.
    pub(super) fn of_reversed(&self, order: &Tensor) -> Tensor {
        let fields = self.fields.narrow(2, 0, self.frames - 1);
        let (from, to) = (order.narrow(1, 0, self.frames - 1), order.narrow(1, 1, self.frames - 1));
        let way = (&to - &from).to_kind(Kind::Float);
        let between = reorder(&fields, &from.minimum(&to));
        last_twice(&(between * way.view([-1, 1, self.frames - 1, 1, 1])))
    }
}

/// Repeats the last time step of [B, C, T, H, W].
fn last_twice(fields: &Tensor) -> Tensor {
    let last = fields.narrow(2, fields.size()[2] - 1, 1);
    Tensor::cat(&[fields, &last], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffled_flow_ends_in_two_equal_fields_too() {
        let fields: Vec<i16> = (1..=6).map(|at| at * 1000).collect();
        let fields =
            Tensor::from_slice(&fields).view([1, 1, 6, 1, 1]).expand([4, 2, 6, 2, 2], false);
        let order = [[0_i64, 1, 2, 3, 4], [4, 0, 1, 2, 3], [2, 0, 4, 3, 1], [0, 4, 2, 1, 3]];
        let order = Tensor::from_slice(order.as_flattened()).view([4, 5]);
        let (found, label) = SeenFlow::new(&fields, 5).of_shuffled(&order);
        assert_eq!(found.size(), [4, 2, 5, 2, 2]);
        let places = (found.select(1, 1).select(2, 0).select(2, 0) * 20.0 - 1.0).round();
        // The last frame has no field: its place does not matter.
        let wanted = [[0, 1, 2, 3, 3], [0, 1, 2, 3, 3], [2, 0, 3, 1, 1], [0, 2, 1, 3, 3]];
        let wanted: Vec<f32> = wanted.as_flattened().iter().map(|at| *at as f32).collect();
        assert_eq!(Vec::<f32>::try_from(places.flatten(0, -1)).unwrap(), wanted);
        assert_eq!(Vec::<f32>::try_from(label).unwrap(), [0.0, 0.0, 1.0, 1.0]);
    }
}
