//! Choice of the frames of a video that make up a clip.
//!
//! The rule is that of the official code of MAE-ST (arXiv 2205.09113): a clip of T frames with
//! stride τ at r frames per second spans `T · τ / r · fps` frames of the video, and its frames are
//! spread evenly over them, both ends included. `16x4` at 30 frames per second therefore takes the
//! same seconds of every video, whatever its frame rate.

use bauta_streams::RandomStream;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Number of frames of a video, and its frame rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeline {
    /// Number of frames, at least 1.
    pub frames: u64,
    /// Frames per second, above 0.
    pub rate: f64,
}

/// How a clip longer than its video is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortVideo {
    /// The last frame is held to the end, as in the official code.
    #[default]
    Hold,
    /// The video starts again.
    Loop,
    /// The video counts as unreadable: an error, or skipped and counted.
    Refuse,
}

/// How the frames of a clip are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipSampling {
    /// Frames of a clip, T, at least 1.
    pub frames: usize,
    /// Stride τ, at least 1: every τ-th frame of a video at `rate` frames per second is taken.
    pub stride: usize,
    /// Frame rate r to which `stride` refers, in frames per second, above 0.
    pub rate: f64,
    /// How a clip longer than its video is handled.
    pub short: ShortVideo,
}

impl Default for ClipSampling {
    fn default() -> Self {
        Self { frames: 16, stride: 4, rate: 30.0, short: ShortVideo::Hold }
    }
}

impl ClipSampling {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        for (key, value) in [("frames", self.frames), ("stride", self.stride)] {
            if value == 0 {
                return Err(DataError::setting(key, 0, "must be at least 1"));
            }
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(DataError::setting("rate", self.rate, "must be above 0 frames per second"));
        }
        Ok(())
    }

    /// Frames of a video that a clip spans, not rounded: `T · τ / r · fps`.
    pub fn span(&self, timeline: Timeline) -> f64 {
        (self.frames * self.stride) as f64 / self.rate * timeline.rate
    }

    /// Draws the T frame positions of a clip, which never decrease unless a short video loops.
    ///
    /// The start is uniform in `[0, max(frames − span, 0)]`.
    ///
    /// # Errors
    /// When the video is too short and [`ShortVideo::Refuse`] is set; the message gives the
    /// lengths.
    pub fn random(
        &self,
        timeline: Timeline,
        stream: &mut RandomStream,
    ) -> Result<Vec<u64>, String> {
        let start = stream.uniform_in(0.0, self.room(timeline)?);
        Ok(self.places(timeline, start))
    }

    /// The frame positions of clip number `clip` of `clips`, spread evenly over the video.
    ///
    /// Clip k of K starts at `k · ⌊room / (K − 1)⌋`; a single one lies in the middle.
    ///
    /// # Errors
    /// As [`Self::random`].
    pub fn spread(
        &self,
        timeline: Timeline,
        clip: usize,
        clips: usize,
    ) -> Result<Vec<u64>, String> {
        let room = self.room(timeline)?;
        let start = match clips {
            0 | 1 => room / 2.0,
            _ => clip as f64 * (room / (clips - 1) as f64).floor(),
        };
        Ok(self.places(timeline, start))
    }

    /// Number of frames by which the video is longer than a clip.
    fn room(&self, timeline: Timeline) -> Result<f64, String> {
        let Self { frames, stride, rate, short } = self;
        let (span, length) = (self.span(timeline), timeline.frames as f64);
        // Rounding can make a span of 16 frames a little longer.
        if *short == ShortVideo::Refuse && span > length + 1e-6 {
            return Err(format!(
                "its {} frames at {:.2} per second are too short for a clip of {frames} × {stride} \
                 at {rate} per second, which spans {span:.1}; leave it out, or hold or loop short \
                 videos",
                timeline.frames, timeline.rate
            ));
        }
        Ok((length - span).max(0.0))
    }

    fn places(&self, timeline: Timeline, start: f64) -> Vec<u64> {
        let end = start + self.span(timeline) - 1.0;
        let place = |place: f32| match self.short {
            ShortVideo::Loop => place.max(0.0) as u64 % timeline.frames,
            _ => (place.max(0.0) as u64).min(timeline.frames - 1),
        };
        linspace(start as f32, end as f32, self.frames).map(place).collect()
    }
}

/// PyTorch's `linspace` in single precision; as there, the second half counts back from the end.
fn linspace(start: f32, end: f32, count: usize) -> impl Iterator<Item = f32> {
    let step = if count > 1 { (end - start) / (count - 1) as f32 } else { 0.0 };
    (0..count).map(move |at| {
        if at < count / 2 || count == 1 {
            start + step * at as f32
        } else {
            end - step * (count - 1 - at) as f32
        }
    })
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use proptest::prelude::*;

    use super::*;

    fn sampling(frames: usize, stride: usize) -> ClipSampling {
        ClipSampling { frames, stride, ..ClipSampling::default() }
    }

    fn stream(sample: u64) -> RandomStream {
        StreamKey { seed: 3, purpose: Purpose::named("clip window"), epoch: 0, sample }.stream()
    }

    #[test]
    fn sixteen_by_four_is_what_the_official_code_takes() {
        // 64 frames at 30 per second: linspace(0, 63, 16), truncated.
        let at = |rate| Timeline { frames: 64, rate };
        let every = [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63];
        assert_eq!(sampling(16, 4).spread(at(30.0), 0, 1).unwrap(), every);
        // At 15 frames per second the same seconds are half as many frames.
        let half = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 31];
        let slow = sampling(16, 4).spread(Timeline { frames: 32, rate: 15.0 }, 0, 1).unwrap();
        assert_eq!(slow, half);
        // Stride 1 at the video's own rate takes every frame.
        let all: Vec<u64> = (0..16).collect();
        let whole = Timeline { frames: 16, rate: 30.0 };
        assert_eq!(sampling(16, 1).random(whole, &mut stream(0)).unwrap(), all);
    }

    #[test]
    fn clips_are_spread_from_the_first_frame_to_the_last() {
        // Room for 236 frames: ⌊236 / 6⌋ = 39 between the starts of seven clips.
        let video = Timeline { frames: 300, rate: 30.0 };
        let starts: Vec<u64> =
            (0..7).map(|clip| sampling(16, 4).spread(video, clip, 7).unwrap()[0]).collect();
        assert_eq!(starts, [0, 39, 78, 117, 156, 195, 234]);
        assert_eq!(sampling(16, 4).spread(video, 0, 1).unwrap()[0], 118);
    }

    #[test]
    fn short_videos_are_held_looped_or_refused() {
        let video = Timeline { frames: 5, rate: 30.0 };
        let clip = |short| ClipSampling { short, ..sampling(8, 1) }.spread(video, 0, 1);
        assert_eq!(clip(ShortVideo::Hold).unwrap(), [0, 1, 2, 3, 4, 4, 4, 4]);
        assert_eq!(clip(ShortVideo::Loop).unwrap(), [0, 1, 2, 3, 4, 0, 1, 2]);
        let error = clip(ShortVideo::Refuse).unwrap_err();
        assert!(error.contains("5 frames") && error.contains("spans 8.0"), "{error}");
        // A video that is just long enough is not refused because of a rounding error.
        let exact = Timeline { frames: 16, rate: 29.97 };
        let refuse = ClipSampling { rate: 29.97, short: ShortVideo::Refuse, ..sampling(16, 1) };
        assert!(refuse.random(exact, &mut stream(0)).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = |sampling: ClipSampling| sampling.check().unwrap_err().to_string();
        assert_eq!(error(sampling(0, 1)), "frames = 0: must be at least 1");
        assert_eq!(error(sampling(1, 0)), "stride = 0: must be at least 1");
        let rate = ClipSampling { rate: f64::NAN, ..ClipSampling::default() };
        assert!(error(rate).starts_with("rate = NaN"));
    }

    proptest! {
        #[test]
        fn clips_lie_within_the_video_and_never_go_back(
            frames in 1_u64..5000, rate in 1.0_f64..200.0, length in 1_usize..40,
            stride in 1_usize..9, sample: u64,
        ) {
            let video = Timeline { frames, rate };
            let sampling = sampling(length, stride);
            let clip = sampling.random(video, &mut stream(sample)).unwrap();
            prop_assert_eq!(clip.len(), length);
            prop_assert!(clip.is_sorted() && clip.iter().all(|&place| place < frames));
            // If the video is long enough, the clip spans what it should, up to rounding to whole
            // frames.
            let span = sampling.span(video);
            if span <= frames as f64 && span >= 1.0 && length > 1 {
                let spanned = (clip[length - 1] - clip[0]) as f64;
                prop_assert!((spanned - (span - 1.0)).abs() <= 1.0 + 1e-3, "{} {}", spanned, span);
            }
        }
    }
}
