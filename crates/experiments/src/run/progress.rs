//! What a person sees in the terminal while a run trains.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bauta_eval::Watch;
use bauta_report::Record;
use bauta_train::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// Whether this process shows runs in passing only: bars go when they end, and
/// logs get no lines. Whoever makes many runs says it once, and reports them itself.
static IN_PASSING: AtomicBool = AtomicBool::new(false);

/// From now on, shows runs in passing only.
pub fn show_in_passing() {
    IN_PASSING.store(true, Ordering::Relaxed);
}

fn in_passing() -> bool {
    IN_PASSING.load(Ordering::Relaxed)
}

/// A progress line: steps, loss, samples a second, share of waiting for data, time left.
///
/// Where standard error is not a terminal, a line is printed every half minute
/// instead, so that logs stay readable.
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
                let line = describe(record);
                let hidden = self.bar(record.step).is_hidden();
                if hidden && !in_passing() && self.last_line.elapsed() > Duration::from_secs(30) {
                    self.last_line = Instant::now();
                    eprintln!("{} step {}: {line}", self.what, record.step);
                }
                self.bar(record.step).set_message(line);
            }
            Event::Checkpoint(_) => {}
        }
    }

    /// Ends the line.
    pub fn finish(self) {
        match self.bar {
            Some(bar) if in_passing() => bar.finish_and_clear(),
            Some(bar) => bar.finish(),
            None => {}
        }
    }

    fn bar(&mut self, step: u64) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(
                "{prefix} {bar:30} {pos}/{len} steps  {msg}  {eta} left",
            )
            .expect("the template is valid");
            let bar = ProgressBar::new(self.steps).with_style(style).with_position(step);
            bar.set_prefix(self.what.clone());
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        })
    }
}

/// Shows the parts of a measurement, a spinner with a name for each, and ends it on demand.
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
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if bar.is_hidden() && !in_passing() {
            eprintln!("{what}");
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

fn describe(record: &Record) -> String {
    let share = 100.0 * record.data_seconds / record.step_seconds.max(f64::MIN_POSITIVE);
    let parts = record.parts.iter().map(|(name, value)| format!("{name} {value:.4}"));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let parts = if parts.is_empty() { parts } else { format!(" ({parts})") };
    format!(
        "loss {:.4}{parts}  {:.0} samples/s  {share:.0} % waiting for data",
        record.loss, record.samples_per_second
    )
}
