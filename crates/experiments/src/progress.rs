//! What a person sees in the terminal while a run trains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bauta_train::{Event, Record};
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

/// A progress line: steps, loss, images a second, share of waiting for data, time left.
///
/// Where standard error is no terminal, a line is printed every half minute
/// instead, so that logs stay readable.
pub struct TrainingProgress {
    bar: ProgressBar,
    last_line: std::time::Instant,
}

impl TrainingProgress {
    /// Starts the line at `step` of `steps`.
    pub fn start(step: u64, steps: u64) -> Self {
        let style =
            ProgressStyle::with_template("training {bar:30} {pos}/{len} steps  {msg}  {eta} left")
                .expect("the template is valid");
        let bar = ProgressBar::new(steps).with_style(style).with_position(step);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, last_line: std::time::Instant::now() }
    }

    /// Shows an event of the training loop.
    pub fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Step { step } => self.bar.set_position(*step),
            Event::Record(record) => {
                let line = describe(record);
                if self.bar.is_hidden()
                    && !in_passing()
                    && self.last_line.elapsed() > Duration::from_secs(30)
                {
                    self.last_line = std::time::Instant::now();
                    eprintln!("step {}: {line}", record.step);
                }
                self.bar.set_message(line);
            }
            Event::Checkpoint(_) => {}
        }
    }

    /// Ends the line.
    pub fn finish(self) {
        if in_passing() {
            self.bar.finish_and_clear();
        } else {
            self.bar.finish();
        }
    }
}

/// A spinner with a name, for the stages of evaluation.
pub fn stage(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(name.to_owned());
    if bar.is_hidden() && !in_passing() {
        eprintln!("{name}");
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn describe(record: &Record) -> String {
    let share = 100.0 * record.data_seconds / record.step_seconds.max(f64::MIN_POSITIVE);
    format!(
        "loss {:.4}  {:.0} images/s  {share:.0} % waiting for data",
        record.loss, record.samples_per_second
    )
}
