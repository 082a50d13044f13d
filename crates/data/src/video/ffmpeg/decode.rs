//! Frames of a video, decoded from as near before the first one as the file allows.
//!
//! ffmpeg is told to begin half-way between the frame before and the first one wanted, to
//! choose the wanted ones by their number, and to say of each when it is shown. Where that is
//! not what the packets promised, the caller decodes again from the beginning, as is always
//! done in containers without an index.

use std::path::Path;

use super::ppm::Pictures;
use super::process::{Ended, problem, run};
use super::{Ffmpeg, VideoInfo};
use crate::image::Image;
use crate::prefetch::Cancel;

/// Runs of neighbouring frames that are named in one command, for its length is limited.
const RUNS: usize = 1000;

/// How a video's frames are decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::video) struct Decode<'a> {
    pub(in crate::video) path: &'a Path,
    pub(in crate::video) info: &'a VideoInfo,
    /// Frames of a longer shorter side are made so small; 0 leaves all as they are.
    pub(in crate::video) short_side: usize,
    /// Most pixels that a frame may have when it arrives.
    pub(in crate::video) max_pixels: u64,
    /// Whether to begin near the first frame, which may come out wrong.
    pub(in crate::video) seek: bool,
}

/// Decodes the frames of these numbers, which rise strictly, and gives each to `take`.
///
/// Says whether their times are those of the packets; from the beginning on a decoder's own
/// order is believed.
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
    // What lies between too many runs is decoded, and dropped here.
    let runs = if runs.len() <= RUNS { runs } else { vec![[first, last]] };
    let mut sent = runs.iter().flat_map(|&[from, to]| from..=to);
    let count: u64 = runs.iter().map(|[from, to]| to - from + 1).sum();
    command
        .args(["-vf", &filters(&runs, skipped, short_side)])
        // Several videos are read at once: threads within one only wait for each other.
        .args(["-filter_threads", "1", "-threads", "1"])
        .args(["-r", "1/1000", "-frames:v", &count.to_string()])
        .args(["-f", "image2pipe", "-c:v", "ppm", "-"]);
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
        // It may be that nothing is wrong but where it began.
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
    /// Where to begin, in seconds from the file's beginning; `None` for its beginning.
    fn start(&self, first: u64) -> Option<f64> {
        let times = &self.info.times;
        let before = usize::try_from(first).ok()?.checked_sub(1)?;
        let possible = self.seek && self.info.seekable();
        possible.then(|| (times[before] + times[before + 1]) / 2.0)
    }
}

/// Whether the frames were shown when the packets said.
fn as_promised(
    how: &Decode<'_>,
    start: Option<f64>,
    expected: impl Iterator<Item = u64>,
    ended: &Ended,
) -> bool {
    let VideoInfo { times, timeline, .. } = how.info;
    // A container may round its times to a hundredth of a second.
    let near = (0.5 / timeline.rate).min(0.02);
    let said = &ended.log.times;
    expected.enumerate().all(|(at, frame)| {
        let promised = times[frame as usize] - start.unwrap_or(0.0);
        said.get(at).copied().flatten().is_some_and(|said| (said - promised).abs() < near)
    })
}

/// Neighbouring numbers together, first and last of each run.
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

/// Chooses frames by their numbers from the first decoded one, has their times told, and
/// shrinks them.
///
/// Each is given a place of its own on a scale of a thousand seconds, beside which no frame is
/// long: ffmpeg would double or drop frames for the sake of a constant rate.
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
