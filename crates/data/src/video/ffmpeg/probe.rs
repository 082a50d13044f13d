//! Length, frame rate and size of a video, from its packets: nothing is decoded.
//!
//! ffmpeg copies the packets of the stream that it would show into its `framecrc` format, one line
//! each, and describes the file's header on its standard error.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::Ffmpeg;
use super::process::{Ended, problem, run};
use crate::prefetch::Cancel;
use crate::video::Timeline;

/// The timestamp of a packet that has none.
const NONE: i64 = i64::MIN;
/// Flags of packets: damaged, and decoded but not shown.
const DAMAGED: u32 = 2;
const HIDDEN: u32 = 4;

/// Properties of a video file, known before it is decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInfo {
    /// Number of frames on its timeline, and frame rate. A video of variable rate has its mean
    /// rate, and shows at each position the frame that is current then.
    pub timeline: Timeline,
    /// Height in pixels, as shown: rotated if the file says so.
    pub height: usize,
    /// Width in pixels, as shown.
    pub width: usize,
    /// Rotation of the picture according to the file, in degrees anticlockwise.
    pub rotation: i32,
    /// Seconds from the start of the first frame to that of the last.
    pub seconds: f64,
    /// Whether the file has sound.
    pub sound: bool,
    /// When each frame is shown, in seconds from the file's beginning, ascending; empty if the file
    /// does not say.
    pub(super) times: Vec<f64>,
    /// Whether decoding can start in the middle: a key frame is found by its time.
    indexed: bool,
    /// The frame at each position of the timeline; `None` if they are the same.
    places: Option<Vec<u64>>,
}

/// Containers with an index of key frames for seeking. In others a seek ends somewhere in the
/// stream, and frames that refer to earlier ones come out wrong.
const INDEXED: [&str; 3] = ["mov,", "matroska,", "avi,"];

impl VideoInfo {
    /// The number of the frame at a position of the timeline.
    pub(in crate::video) fn frame(&self, place: u64) -> u64 {
        match &self.places {
            Some(places) => places[place as usize],
            None => place,
        }
    }

    /// When the frame at a position of the timeline is shown, in seconds from the file's beginning.
    pub(in crate::video) fn time(&self, place: u64) -> f64 {
        let frame = self.frame(place) as usize;
        self.times.get(frame).copied().unwrap_or(place as f64 / self.timeline.rate)
    }

    /// Whether decoding can start in the middle.
    pub(in crate::video) fn seekable(&self) -> bool {
        self.indexed && !self.times.is_empty()
    }

    /// Puts frames on a timeline.
    ///
    /// If all times are within half a frame of the mean rate, or the file has no times, each frame
    /// has its own position. Otherwise each position has the last frame whose time, rounded to
    /// positions, is not after it, as in ffmpeg's own conversion to a constant rate.
    fn on_timeline(mut times: Vec<f64>, count: usize, stated: f64) -> Self {
        times.sort_by(f64::total_cmp);
        let seconds = match (times.first(), times.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0.0,
        };
        let frames = count as u64;
        let mut info = Self {
            timeline: Timeline { frames, rate: stated },
            height: 0,
            width: 0,
            rotation: 0,
            seconds,
            sound: false,
            times,
            indexed: false,
            places: None,
        };
        if seconds <= 0.0 {
            info.times.clear();
            info.seconds = (frames - 1) as f64 / stated;
            return info;
        }
        let first = info.times[0];
        let rate = (frames - 1) as f64 / seconds;
        info.timeline.rate = rate;
        let place = |time: &f64| (time - first) * rate;
        let steady =
            info.times.iter().enumerate().all(|(i, time)| (place(time) - i as f64).abs() < 0.5);
        if !steady {
            let mut frame = 0;
            let rounded: Vec<u64> = info.times.iter().map(|t| place(t).round() as u64).collect();
            let standing = |at: u64| {
                while frame + 1 < rounded.len() && rounded[frame + 1] <= at {
                    frame += 1;
                }
                frame as u64
            };
            info.places = Some((0..frames).map(standing).collect());
        }
        info
    }
}

/// Probes a file.
pub(super) fn probe(ffmpeg: &Ffmpeg, path: &Path, cancel: &Cancel) -> Result<VideoInfo, String> {
    let about = path.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut command = ffmpeg.reading(path, &[]);
    command.args(["-c", "copy", "-f", "framecrc", "-"]);
    let mut packets = Packets::default();
    let ended = run(&mut command, cancel, |output| {
        let (mut output, mut line) = (BufReader::new(output), Vec::new());
        while output.read_until(b'\n', &mut line).map_err(problem)? > 0 {
            packets.take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(())
    })?;
    understand(packets, &ended)
}

fn understand(packets: Packets, ended: &Ended) -> Result<VideoInfo, String> {
    let log = &ended.log;
    let Some(shown) = Stream::shown(&log.lines) else {
        return Err(match &log.error {
            Some(error) if !log.lines.iter().any(|line| line.contains("Input #0")) => {
                format!("it is not a video that ffmpeg can read: {error}")
            }
            _ if log.lines.iter().any(|line| line.contains(": Audio: ")) => {
                "it has sound but no pictures".to_owned()
            }
            _ => format!("it has no pictures: {}", ended.reason()),
        });
    };
    if packets.damaged || log.cut_off {
        let seconds = packets.last_second();
        return Err(format!("it is cut off after {seconds:.2} s; copy it again, or leave it out"));
    }
    if !ended.success() {
        return Err(ended.reason());
    }
    let count = packets.count;
    if count == 0 {
        return Err("it has no frames".to_owned());
    }
    let times = packets.times().unwrap_or_default();
    let info = VideoInfo::on_timeline(times, count, shown.rate.unwrap_or(25.0));
    let (height, width) = match shown.rotation.rem_euclid(180) {
        45..135 => (shown.width, shown.height),
        _ => (shown.height, shown.width),
    };
    let container =
        log.lines.iter().find_map(|line| line.split_once("Input #0, ")).map(|(_, of)| of);
    let indexed = container.is_some_and(|of| INDEXED.iter().any(|indexed| of.starts_with(indexed)));
    let sound = log.lines.iter().any(|line| line.contains(": Audio: "));
    Ok(VideoInfo { height, width, rotation: shown.rotation, sound, indexed, ..info })
}

/// The packets of one stream.
#[derive(Default)]
struct Packets {
    /// Seconds per unit of the timestamps.
    unit: f64,
    count: usize,
    /// When each is shown, and when it is decoded.
    stamps: Vec<[i64; 2]>,
    damaged: bool,
}

impl Packets {
    /// Takes a line: `#tb 0: 1/12800`, or `0, dts, pts, duration, size, checksum[, F=0x…]`.
    fn take(&mut self, line: &str) {
        if let Some((ones, of)) =
            line.strip_prefix("#tb 0:").and_then(|base| base.trim().split_once('/'))
        {
            let [ones, of] = [ones, of].map(|number| number.parse::<f64>().unwrap_or(0.0));
            self.unit = ones / of;
        }
        let fields: Vec<&str> = line.trim().split(',').map(str::trim).collect();
        let [_, decoded, shown, _, _, _, marks @ ..] = &fields[..] else { return };
        let [Ok(decoded), Ok(shown)] = [decoded, shown].map(|stamp| stamp.parse::<i64>()) else {
            return;
        };
        let mark = marks.iter().find_map(|mark| mark.strip_prefix("F=0x"));
        let mark = mark.and_then(|mark| u32::from_str_radix(mark, 16).ok()).unwrap_or(0);
        if mark & HIDDEN != 0 {
            return;
        }
        self.damaged |= mark & DAMAGED != 0;
        self.count += 1;
        self.stamps.push([shown, decoded]);
    }

    /// When the frames are shown, in seconds. Old containers only say when they are decoded, which
    /// is the same for frames that are not reordered.
    fn times(&self) -> Option<Vec<f64>> {
        let which = usize::from(self.stamps.iter().any(|[shown, _]| *shown == NONE));
        let known = self.unit.is_finite() && self.unit > 0.0;
        let stamps = self.stamps.iter().map(|stamps| stamps[which]);
        let seconds = |stamp: i64| (stamp != NONE).then_some(stamp as f64 * self.unit);
        known.then(|| stamps.map(seconds).collect::<Option<_>>()).flatten()
    }

    fn last_second(&self) -> f64 {
        self.times().unwrap_or_default().into_iter().fold(0.0, f64::max)
    }
}

/// Properties of the shown stream, according to the header.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    width: usize,
    height: usize,
    rate: Option<f64>,
    rotation: i32,
}

impl Stream {
    /// Finds the stream that ffmpeg chose, unless it is the cover of a piece of music.
    fn shown(lines: &[String]) -> Option<Self> {
        // `  Stream #0:1 -> #0:0 (copy)`
        let chosen = lines.iter().find_map(|line| line.split_once(" -> #0:0")?.0.split('#').nth(1));
        let chosen = format!("Stream #{}", chosen?);
        let mut lines = lines.iter().skip_while(|line| {
            // The number can be followed by an identifier and a language: `#0:0[0x1](und): Video:`.
            !line.split_once(&chosen).is_some_and(|(_, rest)| {
                rest.starts_with([':', '[', '(']) && rest.contains(": Video: ")
            })
        });
        let line = lines.next()?;
        if line.contains("(attached pic)") {
            return None;
        }
        let mut stream = Self::default();
        // Codecs have commas in brackets, so the fields are recognised by their form.
        for field in line.split(", ") {
            let mut words = field.split_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next());
            if let Some((width, height)) = first.split_once('x')
                && let (Ok(width), Ok(height)) = (width.parse(), height.parse())
                && stream.width == 0
            {
                (stream.width, stream.height) = (width, height);
            }
            // The frame rate is given, or at least the field rate.
            if second == Some("fps") || (second == Some("tbr") && stream.rate.is_none()) {
                let (number, times) = match first.strip_suffix('k') {
                    Some(number) => (number, 1000.0),
                    None => (first, 1.0),
                };
                let rate = number.parse::<f64>().ok().filter(|&rate| rate > 0.0);
                stream.rate = rate.map(|rate| rate * times);
            }
        }
        let own = lines.take_while(|line| !line.contains("Stream #"));
        let turned = own.filter_map(|line| {
            let (_, rest) = line.split_once("rotation of ")?;
            rest.split_whitespace().next()?.parse::<f64>().ok()
        });
        stream.rotation = turned.last().map_or(0, |degrees| degrees.round() as i32);
        Some(stream)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_stream_that_is_shown_is_understood() {
        let log = lines(
            "[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'a b, 10x20.mp4':\n\
            [info]   Stream #0:0[0x1](und): Audio: aac (LC), 44100 Hz, stereo, fltp, 69 kb/s\n\
            [info]   Stream #0:1[0x2](und): Video: h264 (High) (avc1 / 0x31637661), \
            yuv420p(tv, bt709/unknown/bt709, progressive), 1920x1080 [SAR 1:1 DAR 16:9], \
            290 kb/s, 29.97 fps, 59.94 tbr, 12800 tbn (default)\n\
            [info]     Side data:\n\
            [info]       Display Matrix: rotation of -90.00 degrees\n\
            [info] Stream mapping:\n\
            [info]   Stream #0:1 -> #0:0 (copy)\n",
        );
        let stream = Stream { width: 1920, height: 1080, rate: Some(29.97), rotation: -90 };
        assert_eq!(Stream::shown(&log), Some(stream));
        let old = lines(
            "[info]     Stream #0:0: Video: theora, yuv420p, 400x304 [SAR 1:1 DAR 25:19], 1k tbr\n\
            [info]   Stream #0:0 -> #0:0 (copy)\n",
        );
        let stream = Stream { width: 400, height: 304, rate: Some(1000.0), rotation: 0 };
        assert_eq!(Stream::shown(&old), Some(stream));
        let cover = lines(
            "[info]   Stream #0:1: Video: mjpeg, yuvj420p, 300x300, 90k tbr (attached pic)\n\
            [info]   Stream #0:1 -> #0:0 (copy)\n",
        );
        assert_eq!(Stream::shown(&cover), None);
    }

    #[test]
    fn packets_are_sorted_by_when_they_are_shown() {
        let mut packets = Packets::default();
        for line in [
            "#tb 0: 1/12800",
            "#dimensions 0: 320x240",
            "0,      -1024,          0,      512,     5157, 0x6519aa12",
            "0,       -512,       1024,      512,     2477, 0x9870d926, F=0x0",
            "0,          0,        512,      512,     1399, 0xb1a4b4e9, F=0x0",
            "0,        512,       1536,      512,     1399, 0xb1a4b4e9, F=0x4",
        ] {
            packets.take(line);
        }
        let info = VideoInfo::on_timeline(packets.times().unwrap(), packets.count, 25.0);
        assert_eq!(info.times, [0.0, 0.04, 0.08]);
        assert_eq!((info.timeline.frames, info.timeline.rate.round()), (3, 25.0));
        assert!(!packets.damaged);
        packets.take("0, 1024, 2048, 512, 1001, 0x0deef947, F=0x2");
        assert!(packets.damaged);
        // Without times of showing, the times of decoding count.
        let mut old = Packets::default();
        old.take("#tb 0: 1/10");
        old.take("0, 0, -9223372036854775808, 1, 42753, 0xf92698d8");
        old.take("0, 1, -9223372036854775808, 1, 48157, 0xafa40f08, F=0x0");
        assert_eq!(old.times().unwrap(), [0.0, 0.1]);
    }

    #[test]
    fn a_video_of_variable_rate_shows_what_stands_at_each_place() {
        // Frames at 0, 1, 2, 8 tenths of a second: a mean of 3 in 0.8 s.
        let info = VideoInfo::on_timeline(vec![0.8, 0.0, 0.2, 0.1], 4, 25.0);
        assert!((info.timeline.rate - 3.75).abs() < 1e-9 && info.timeline.frames == 4);
        // Their positions, rounded, are 0, 0, 1, 3.
        assert_eq!((0..4).map(|place| info.frame(place)).collect::<Vec<_>>(), [1, 2, 2, 3]);
        // One frame, or no times: the stated rate.
        let one = VideoInfo::on_timeline(vec![0.5], 1, 12.0);
        assert_eq!((one.timeline.rate, one.seconds, one.frame(0)), (12.0, 0.0, 0));
        let untimed = VideoInfo::on_timeline(Vec::new(), 5, 10.0);
        assert_eq!((untimed.timeline.frames, untimed.seconds), (5, 0.4));
        assert!(untimed.times.is_empty());
    }

    proptest! {
        #[test]
        fn every_place_has_a_frame_and_they_never_go_back(
            gaps in prop::collection::vec(0.0_f64..0.5, 1..60),
        ) {
            let mut time = 0.0;
            let times: Vec<f64> = gaps.iter().map(|gap| { time += gap; time }).collect();
            let info = VideoInfo::on_timeline(times, gaps.len(), 25.0);
            let frames: Vec<u64> =
                (0..info.timeline.frames).map(|place| info.frame(place)).collect();
            prop_assert!(frames.is_sorted());
            prop_assert_eq!(*frames.last().unwrap(), gaps.len() as u64 - 1);
        }
    }
}
