//! Frames of a video, decoded from as close before the first one as the file allows.
//!
//! ffmpeg is told to start half-way between the first wanted frame and the one before, to select
//! the wanted ones by number, and to report when each is shown. If that is not what the packets
//! promised, the caller decodes again from the beginning, as is always done in containers without
//! an index.

use std::path::Path;

use super::ppm::Pictures;
use super::process::{Ended, problem, run};
use super::{Ffmpeg, VideoInfo};
use crate::image::Image;
use crate::prefetch::Cancel;

/// Maximum number of runs of neighbouring frames in one command, whose length is limited.
const RUNS: usize = 1000;

/// How a video's frames are decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::video) struct Decode<'a> {
    pub(in crate::video) path: &'a Path,
    pub(in crate::video) info: &'a VideoInfo,
    /// Frames whose shorter side is longer are shrunk to it; 0 leaves all as they are.
    pub(in crate::video) short_side: usize,
    /// Maximum number of pixels of a frame as it arrives.
    pub(in crate::video) max_pixels: u64,
    /// Whether to start near the first frame, which can give wrong frames.
    pub(in crate::video) seek: bool,
}

/// Decodes the frames with these numbers, which are strictly ascending, and passes each to `take`.
///
/// Returns whether their times are those of the packets; from the beginning on, the decoder's own
/// order is trusted.
pub(in crate::video) fn decode(
    ffmpeg: &Ffmpeg,
    how: Decode<'_>,
    wanted: &[u64],
    cancel: &Cancel,
    mut take: impl FnMut(Image<'static>) -> Result<(), String>,
) -> Result<bool, String> {
    let Some((&first, &last)) = wanted.first().zip(wanted.last()) else { return Ok(true) };
    let Decode { path, info, short_side, max_pixels, .. } = how;
    let start = how.start(first);
    let (skipped, before) = match start {
        Some(start) => (first, vec!["-ss".to_owned(), format!("{start:.6}")]),
        None => (0, Vec::new()),
    };
    let threads = ["-threads".to_owned(), "1".to_owned()];
    let mut command = ffmpeg.reading(path, &[&threads[..], &before[..]].concat());
    let runs = runs(wanted);
    // Frames between too many runs are decoded as well, and dropped here.
    let runs = if runs.len() <= RUNS { runs } else { vec![[first, last]] };
    let mut sent = runs.iter().flat_map(|&[from, to]| from..=to);
    let count: u64 = runs.iter().map(|[from, to]| to - from + 1).sum();
    command
        .args(["-vf", &filters(&runs, skipped, short_side)])
        // Several videos are read at once: threads within one would only wait for each other.
        .args(["-filter_threads", "1", "-threads", "1"])
        .args(["-r", "1/1000", "-frames:v", &count.to_string()])
        // The frames of a video of ten bits would come with sixteen.
        .args(["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]);
    let mut upcoming = wanted.iter().peekable();
    let ended = run(&mut command, cancel, |output| {
        let mut pictures = Pictures::new(|buffer| output.append(buffer), max_pixels);
        for number in &mut sent {
            let Some(frame) = pictures.next().map_err(problem)? else { break };
            if upcoming.peek() == Some(&&number) {
                upcoming.next();
                take(frame)?;
            }
        }
        Ok(())
    })?;
    if upcoming.peek().is_none() {
        let expected = runs.iter().flat_map(|&[from, to]| from..=to);
        return Ok(start.is_none() || as_promised(&how, start, expected, &ended));
    }
    if start.is_some() {
        // The start position may be all that is wrong.
        return Ok(false);
    }
    let missing = upcoming.next().copied().unwrap_or(last);
    Err(format!(
        "frame {missing} of {} cannot be decoded: {}",
        info.timeline.frames,
        ended.reason()
    ))
}

impl Decode<'_> {
    /// Start position in seconds from the file's beginning; `None` for its beginning.
    fn start(&self, first: u64) -> Option<f64> {
        let times = &self.info.times;
        let before = usize::try_from(first).ok()?.checked_sub(1)?;
        let possible = self.seek && self.info.seekable();
        possible.then(|| (times[before] + times[before + 1]) / 2.0)
    }
}

/// Whether the frames were shown at the times of the packets.
fn as_promised(
    how: &Decode<'_>,
    start: Option<f64>,
    expected: impl Iterator<Item = u64>,
    ended: &Ended,
) -> bool {
    let VideoInfo { times, timeline, .. } = how.info;
    // A container can round its times to a hundredth of a second.
    let near = (0.5 / timeline.rate).min(0.02);
    let said = &ended.log.times;
    expected.enumerate().all(|(at, frame)| {
        let promised = times[frame as usize] - start.unwrap_or(0.0);
        said.get(at).copied().flatten().is_some_and(|said| (said - promised).abs() < near)
    })
}

/// Joins neighbouring numbers to runs, each given by its first and last.
fn runs(wanted: &[u64]) -> Vec<[u64; 2]> {
    let mut runs: Vec<[u64; 2]> = Vec::new();
    for &frame in wanted {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == frame => *last = frame,
            _ => runs.push([frame, frame]),
        }
    }
    runs
}

/// Selects frames by their numbers from the first decoded one, reports their times, and shrinks
/// them.
///
/// Each frame gets its own time on a scale of a thousand seconds, compared to which every frame is
/// short: otherwise ffmpeg would duplicate or drop frames to keep a constant rate.
fn filters(runs: &[[u64; 2]], skipped: u64, short_side: usize) -> String {
    let run = |&[from, to]: &[u64; 2]| match (from - skipped, to - skipped) {
        (from, to) if from == to => format!("eq(n,{from})"),
        (from, to) => format!("between(n,{from},{to})"),
    };
    let chosen: Vec<String> = runs.iter().map(run).collect();
    let mut filters =
        format!("select='{}',showinfo=checksum=0,settb=1000,setpts=N", chosen.join("+"));
    if short_side > 0 {
        // The shorter side is given, and the other keeps the ratio.
        filters += &format!(
            ",scale=w='if(lte(iw,ih),min(iw,{short_side}),-1)':\
             h='if(lte(iw,ih),-1,min(ih,{short_side}))'"
        );
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_chosen_by_number_and_shrunk() {
        let runs = runs(&[10, 11, 12, 15, 20, 21]);
        assert_eq!(runs, [[10, 12], [15, 15], [20, 21]]);
        let filters = filters(&runs, 10, 0);
        let chosen = "select='between(n,0,2)+eq(n,5)+between(n,10,11)',showinfo=checksum=0,";
        assert_eq!(filters, format!("{chosen}settb=1000,setpts=N"));
    }
}
