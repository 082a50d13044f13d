//! Terminal output during training.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bauta_eval::{OnlineMetrics, Watch};
use bauta_report::Record;
use bauta_train::Event;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Whether this process shows runs in passing only: bars disappear when they end, and logs get no
/// lines. A command that makes many runs sets it once, and reports them itself; so does a process
/// whose run another one reports.
static IN_PASSING: AtomicBool = AtomicBool::new(false);

/// From now on, shows runs in passing only.
pub fn show_in_passing() {
    IN_PASSING.store(true, Ordering::Relaxed);
}

fn in_passing() -> bool {
    IN_PASSING.load(Ordering::Relaxed)
}

/// Prints a line, unless it is empty or runs are shown in passing only.
pub(super) fn say(line: &str) {
    if !line.is_empty() && !in_passing() {
        remark(line);
    }
}

/// Prints a line on standard error, where a reader may have left: that ends no training.
pub fn remark(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Prints results on standard output. A reader that has left, such as `head`, is no failure.
///
/// # Errors
/// When standard output cannot take them for another reason, such as a full disk.
pub fn tell(results: impl Display) -> Result<()> {
    let mut out = stdout().lock();
    match write!(out, "{results}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        told => told.context("cannot write to standard output"),
    }
}

/// A progress line: steps, loss, samples per second, share of time waiting for data, time left.
///
/// If standard error is not a terminal, a line is printed every half minute instead, so that logs
/// stay readable.
pub struct TrainingProgress {
    what: String,
    steps: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl TrainingProgress {
    /// A line that appears with the first event, for a phase that ends at `steps`.
    pub fn new(what: &str, steps: u64) -> Self {
        Self { what: what.to_owned(), steps, bar: None, last_line: Instant::now() }
    }

    /// Shows an event of the training loop.
    pub fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Step { step } => self.bar(*step).set_position(*step),
            Event::Record(record) => {
                let left = self.steps.saturating_sub(record.step) as f64 * record.step_seconds;
                let left = HumanDuration(Duration::from_secs(left as u64));
                let hidden = self.bar(record.step).is_hidden();
                if hidden && self.last_line.elapsed() > Duration::from_secs(30) {
                    self.last_line = Instant::now();
                    say(&format!("{} step {}: {left:#} left, {record}", self.what, record.step));
                }
                self.bar(record.step).set_message(format!("{left:#} left, {record}"));
            }
            Event::Checkpoint(_) => {}
        }
    }

    /// Shows measurements of the features, and warns if they collapse.
    pub fn measured(&mut self, record: &Record, found: &OnlineMetrics) {
        let line = format!("{} epoch {:.0}: {found}", self.what, record.epoch);
        self.bar(record.step).suspend(|| {
            say(&line);
            if found.collapsed() {
                tracing::warn!("the features have collapsed to a few directions");
            }
        });
    }

    /// Ends the line: it stays if all steps were made, and disappears otherwise.
    pub fn finish(self) {
        match self.bar {
            Some(bar) if !in_passing() && bar.position() >= self.steps => bar.finish(),
            Some(bar) => bar.finish_and_clear(),
            None => {}
        }
    }

    fn bar(&mut self, step: u64) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            // The message is cut to the rest of the line.
            let style = ProgressStyle::with_template("{prefix} {bar:12} {pos}/{len}  {wide_msg}")
                .expect("the template is valid");
            let bar = ProgressBar::new(self.steps).with_style(style).with_position(step);
            bar.set_prefix(self.what.clone());
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        })
    }
}

/// Shows the parts of a measurement, each as a spinner with a name, and ends it on demand.
pub struct Console<'a> {
    stop: &'a AtomicBool,
    part: RefCell<Option<ProgressBar>>,
    training: RefCell<Option<TrainingProgress>>,
}

impl<'a> Console<'a> {
    /// Ends what it watches once `stop` is set.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self { stop, part: RefCell::default(), training: RefCell::default() }
    }

    fn clear(&self) {
        self.part.take().inspect(ProgressBar::finish_and_clear);
    }
}

impl Watch for Console<'_> {
    fn stop(&self) -> &AtomicBool {
        self.stop
    }

    fn begin(&self, what: &str) {
        self.clear();
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        let bar = bar.with_style(style.expect("the template is valid"));
        if bar.is_hidden() {
            say(what);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        self.part.replace(Some(bar));
    }

    fn training(&self, event: &Event<'_>, steps: u64) {
        self.clear();
        let mut training = self.training.borrow_mut();
        training.get_or_insert_with(|| TrainingProgress::new("training", steps)).observe(event);
    }
}

impl Drop for Console<'_> {
    fn drop(&mut self) {
        self.clear();
        if let Some(training) = self.training.take() {
            training.finish();
        }
    }
}
