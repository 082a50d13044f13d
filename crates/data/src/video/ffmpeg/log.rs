//! Parsing of ffmpeg's standard error, with `-v level+info`.

/// Number of lines that are kept; those about a file's header come first.
const KEPT: usize = 400;

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
        for level in ["[error] ", "[fatal] ", "[panic] "] {
            if let Some((_, message)) = line.split_once(level)
                && self.error.is_none()
            {
                self.error = Some(message.trim().to_owned());
            }
        }
        const CUT_OFF: [&str; 3] = ["partial file", "ended prematurely", "corrupt input packet"];
        self.cut_off |= CUT_OFF.iter().any(|words| line.contains(words));
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
}
