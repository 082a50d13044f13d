//! Orders of a clip's frames, for tasks that detect shuffled frames.

use bauta_streams::RandomStream;

/// An order of a clip's frames, and whether it differs from their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameOrder {
    /// The frame at each position, from 0.
    pub frames: Vec<i64>,
    /// Whether it was changed: with probability 1/2.
    pub changed: bool,
}

impl FrameOrder {
    /// Draws an order that is changed by shuffling; a changed order is never the frames' own.
    ///
    /// # Panics
    /// When there are fewer than two frames, which have one order.
    pub fn shuffled(frames: usize, stream: &mut RandomStream) -> Self {
        assert!(frames >= 2, "{frames} frames have one order");
        Self::draw(frames, stream, |order, stream| {
            let own = order.to_vec();
            while *order == own {
                stream.shuffle(order);
            }
        })
    }

    /// Draws an order that is changed by playing backwards.
    pub fn reversed(frames: usize, stream: &mut RandomStream) -> Self {
        Self::draw(frames, stream, |order, _| order.reverse())
    }

    fn draw(
        frames: usize,
        stream: &mut RandomStream,
        change: impl Fn(&mut [i64], &mut RandomStream),
    ) -> Self {
        let mut order: Vec<i64> = (0..frames as i64).collect();
        let changed = stream.uniform() < 0.5;
        if changed {
            change(&mut order, stream);
        }
        Self { frames: order, changed }
    }
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each order holds every frame once, is changed exactly if its label says so, and is a
        /// function of the stream.
        #[test]
        fn a_label_says_whether_the_order_is_changed(seed: u64, count in 2_usize..9) {
            let stream = |sample| {
                StreamKey { seed, purpose: Purpose::named("order"), epoch: 0, sample }.stream()
            };
            let own: Vec<i64> = (0..count as i64).collect();
            let backwards: Vec<i64> = own.iter().rev().copied().collect();
            for clip in 0..20 {
                let shuffled = FrameOrder::shuffled(count, &mut stream(clip));
                prop_assert_eq!(&shuffled, &FrameOrder::shuffled(count, &mut stream(clip)));
                prop_assert_eq!(shuffled.frames != own, shuffled.changed);
                let mut sorted = shuffled.frames;
                sorted.sort_unstable();
                prop_assert_eq!(&sorted, &own);
                let reversed = FrameOrder::reversed(count, &mut stream(clip));
                let expected = if reversed.changed { &backwards } else { &own };
                prop_assert_eq!(&reversed.frames, expected);
            }
        }
    }
}
