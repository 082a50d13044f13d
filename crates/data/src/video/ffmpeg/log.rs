//! Parsing of ffmpeg's standard error, with `-v level+info`.

/// Number of lines that are kept; those about a file's header come first, in which a description
/// can have many hundreds.
const KEPT: usize = 10_000;

/// The messages of one run.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The first lines, without those of the filter `showinfo`.
    pub(super) lines: Vec<String>,
    /// The first error.
    pub(super) error: Option<String>,
    /// Whether a message says that the file is truncated.
    pub(super) cut_off: bool,
    /// The times of the frames that went through the filter `showinfo`, in seconds.
    pub(super) times: Vec<Option<f64>>,
    /// Seconds per unit of those times.
    unit: Option<f64>,
}

impl Log {
    /// Takes one line, as it comes.
    pub(super) fn take(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.contains("_showinfo_") {
            self.take_frame(line);
            return;
        }
        let error = ["[error] ", "[fatal] ", "[panic] "]
            .into_iter()
            .find_map(|level| Some(line.split_once(level)?.1.trim()));
        if self.error.is_none() {
            self.error = error.map(str::to_owned);
        }
        const CUT_OFF: [&str; 3] = ["partial file", "ended prematurely", "corrupt input packet"];
        // Other lines hold the file's path and description, which can have any words.
        let told = error.or_else(|| Some(line.split_once("[warning] ")?.1)).unwrap_or_default();
        self.cut_off |= CUT_OFF.iter().any(|words| told.contains(words));
        if self.lines.len() < KEPT {
            self.lines.push(line.to_owned());
        }
    }

    fn take_frame(&mut self, line: &str) {
        if let Some((_, base)) = line.split_once("config in time_base: ") {
            let base = base.split(',').next().and_then(|base| base.split_once('/'));
            self.unit = base.and_then(|(ones, of)| {
                Some(ones.trim().parse::<f64>().ok()? / of.trim().parse::<f64>().ok()?)
            });
        } else if let Some((_, rest)) = line.split_once(" pts:") {
            // `pts:` comes before `pts_time:`, and can be NOPTS.
            let ticks = rest.split_whitespace().next().and_then(|ticks| ticks.parse::<f64>().ok());
            self.times.push(ticks.zip(self.unit).map(|(ticks, unit)| ticks * unit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_the_times_of_frames_are_read() {
        let said = b"[info] Input #0, mov,mp4, from 'a.mp4':\n\
            [Parsed_showinfo_1 @ 0x7f] [info] config in time_base: 1/12800, frame_rate: 25/1\n\
            [Parsed_showinfo_1 @ 0x7f] [info] n:   0 pts:    256 pts_time:0.02    duration: 512\n\
            [Parsed_showinfo_1 @ 0x7f] [info] color_range:unknown color_space:unknown\n\
            [Parsed_showinfo_1 @ 0x7f] [info] n:   1 pts: NOPTS pts_time:NOPTS duration: 512\n\
            [h264 @ 0x1] [error] Invalid NAL unit size \xff\n\
            [in#0 @ 0x2] [error] stream 0, offset 0x187af: partial file\n";
        let mut log = Log::default();
        said.split_inclusive(|&byte| byte == b'\n').for_each(|line| log.take(line));
        assert_eq!(log.times, [Some(0.02), None]);
        assert_eq!(log.error.as_deref(), Some("Invalid NAL unit size \u{fffd}"));
        assert!(log.cut_off);
        assert_eq!(log.lines.len(), 3);
    }

    #[test]
    fn a_path_and_a_description_are_no_messages() {
        let mut log = Log::default();
        log.take(b"[info] Input #0, mov,mp4, from 'file:/partial files/ended prematurely.mp4':");
        log.take(b"[info]     description     : How to mend a partial file");
        for _ in 0..900 {
            log.take(b"                    : and a corrupt input packet");
        }
        log.take(b"[info]   Stream #0:0: Video: h264, yuv420p, 64x48, 10 fps");
        assert!(!log.cut_off && log.error.is_none());
        assert!(log.lines.iter().any(|line| line.contains("Stream #0:0")));
        log.take(b"[warning] file:a.ts: corrupt input packet in stream 0");
        assert!(log.cut_off && log.error.is_none());
    }
}
