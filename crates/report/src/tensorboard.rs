//! Event files for TensorBoard, next to `metrics.jsonl`.

mod event;
mod framing;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use self::event::What;
use crate::{Record, ReportError};

/// TensorBoard reads the files of a folder whose names contain this, in the order of their names.
const PREFIX: &str = "events.out.tfevents.";

/// Writes a run's metrics and pictures into an event file, which `tensorboard --logdir` follows.
///
/// Each record is one write of its own, so that a run that is killed leaves whole records, or a
/// last one cut short, where readers stop.
///
/// ```
/// use std::time::SystemTime;
///
/// use bauta_report::{EventLog, Record};
///
/// let folder = tempfile::tempdir()?;
/// let mut events = EventLog::open(folder.path(), 0, SystemTime::now)?;
/// events.record("train", &Record { step: 50, loss: 1.5, ..Record::default() })?;
/// events.scalars(50, &[("eval/knn_top1", 0.375)])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    length: u64,
    clock: fn() -> SystemTime,
}

impl EventLog {
    /// Opens a new event file in a run's folder, to continue after `step`; later events of earlier
    /// starts of the run are dropped, and with `step` 0 all of them.
    ///
    /// Earlier files are truncated before their first later event, since TensorBoard's default
    /// reader drops an earlier step only once its tag is written again at the same step or an
    /// earlier one. A TensorBoard that has already read them learns of it from the new file's first
    /// events. `clock` gives the time of the file's name and of each event: [`SystemTime::now`].
    ///
    /// # Errors
    /// [`ReportError::Read`] and [`ReportError::Write`] when the folder or a file of it cannot be
    /// used.
    pub fn open(
        run_folder: &Path,
        step: u64,
        clock: fn() -> SystemTime,
    ) -> Result<Self, ReportError> {
        let former = event_files(run_folder)?;
        for (path, _) in &former {
            match step {
                0 => fs::remove_file(path).map_err(ReportError::write(path))?,
                step => cut(path, step)?,
            }
        }
        // The name must be the last, whatever the clock says and however soon the run is restarted.
        let after = former.iter().map(|(_, seconds)| seconds.saturating_add(1)).max();
        let seconds = (since_1970(clock) as u64).max(after.unwrap_or(0));
        let name = format!("{PREFIX}{seconds:010}.{}.{}.0", host(), process::id());
        let path = run_folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(ReportError::write(&path))?;
        let mut log = Self { path, file, length: 0, clock };
        log.write(0, What::FileVersion)?;
        log.write(if step == 0 { 0 } else { step + 1 }, What::Start)?;
        Ok(log)
    }

    /// Writes a record of the metrics log as scalars of a group: `train/loss`,
    /// `train/loss/PART`, `train/lr` and so on.
    ///
    /// `group` is `"train"`, or the phase's name in a run of several phases.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the disk is full, for example.
    pub fn record(&mut self, group: &str, record: &Record) -> Result<(), ReportError> {
        let mut scalars = vec![
            (format!("{group}/loss"), record.loss),
            (format!("{group}/lr"), record.lr),
            (format!("{group}/grad_norm"), record.grad_norm),
            (format!("{group}/epoch"), record.epoch),
            (format!("{group}/samples_per_second"), record.samples_per_second),
            (format!("{group}/data_wait_share"), record.data_wait_share()),
        ];
        scalars.extend(record.optional().map(|(name, value)| (format!("{group}/{name}"), value)));
        let parts = record.parts.iter();
        scalars.extend(parts.map(|(part, &value)| (format!("{group}/loss/{part}"), value)));
        let scalars: Vec<_> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        self.scalars(record.step, &scalars)
    }

    /// Writes values at a step by their tags, such as `eval/knn_top1`; TensorBoard groups tags by
    /// their first part. Values are rounded to `f32`.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the disk is full, for example.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), ReportError> {
        self.write(step, What::Scalars(scalars))
    }

    /// Writes a picture at a step, the bytes of a PNG file.
    ///
    /// # Errors
    /// [`ReportError::Draw`] when `png` is not a PNG file, [`ReportError::Write`] when the disk is
    /// full, for example.
    pub fn image(&mut self, step: u64, tag: &str, png: &[u8]) -> Result<(), ReportError> {
        let (width, height) = png_size(png).ok_or_else(|| ReportError::Draw {
            what: tag.to_owned(),
            message: "TensorBoard's pictures must be PNG files, but this is not one".to_owned(),
        })?;
        self.write(step, What::Image { tag, width, height, png })
    }

    /// Flushes the events to the disk; due with each checkpoint, since a run resumes there.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the disk fails.
    pub fn flush(&self) -> Result<(), ReportError> {
        self.file.sync_all().map_err(ReportError::write(&self.path))
    }

    fn write(&mut self, step: u64, what: What<'_>) -> Result<(), ReportError> {
        let record = framing::frame(&event::encode(since_1970(self.clock), step, what));
        if let Err(error) = self.file.write_all(&record) {
            // Nothing after a partial record could be read. The first error is the one to report.
            let _ = self.file.set_len(self.length);
            return Err(ReportError::write(&self.path)(error));
        }
        self.length += record.len() as u64;
        Ok(())
    }
}

/// The event files of a folder and the seconds in their names.
fn event_files(folder: &Path) -> Result<Vec<(PathBuf, u64)>, ReportError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(ReportError::read(folder))? {
        let entry = entry.map_err(ReportError::read(folder))?;
        let name = entry.file_name();
        if let Some(rest) = name.to_string_lossy().strip_prefix(PREFIX) {
            let seconds = rest.split('.').next().and_then(|seconds| seconds.parse().ok());
            files.push((entry.path(), seconds.unwrap_or(0)));
        }
    }
    Ok(files)
}

/// Cuts a file before its first event beyond `step`, or where a record is cut short.
fn cut(path: &Path, step: u64) -> Result<(), ReportError> {
    let bytes = fs::read(path).map_err(ReportError::read(path))?;
    let kept = framing::payloads(&bytes).take_while(|event| event::step(event) <= step);
    let kept: usize = kept.map(framing::framed_len).sum();
    if kept < bytes.len() {
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(kept as u64)).map_err(ReportError::write(path))?;
    }
    Ok(())
}

/// Seconds since 1970, the time that TensorBoard counts in.
fn since_1970(clock: fn() -> SystemTime) -> f64 {
    clock().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The machine's name, by which people tell event files apart.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.replace('/', "-") }
}

/// Width and height of a PNG file, from its header.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let (width, rest) = header.split_first_chunk()?;
    let (height, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}
