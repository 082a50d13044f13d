//! Ctrl-C while a child process works.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Number of [`Interrupts`] that live.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Whether signals end the process, because none lives.
static ENDS: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// While one lives, Ctrl-C and SIGTERM are noted and do not end the process; afterwards they do.
///
/// Hangups are left as they are, so that under nohup they stay ignored, by children too.
pub struct Interrupts {
    seen: Arc<AtomicBool>,
}

impl Interrupts {
    /// Begins to note them.
    pub fn hold() -> Result<Self> {
        HELD.fetch_add(1, Ordering::SeqCst);
        ENDS.store(false, Ordering::SeqCst);
        let held = Self { seen: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&ENDS))
                .and_then(|_| flag::register(signal, Arc::clone(&held.seen)))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(held)
    }

    /// Whether one has come.
    pub fn seen(&self) -> bool {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if HELD.fetch_sub(1, Ordering::SeqCst) == 1 {
            ENDS.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;

    #[test]
    fn signals_are_noted_and_the_process_goes_on() {
        let before = Interrupts::hold().unwrap();
        drop(Interrupts::hold().unwrap());
        raise(SIGTERM).unwrap();
        assert!(before.seen());
        drop(before);
        let after = Interrupts::hold().unwrap();
        assert!(!after.seen());
        raise(SIGINT).unwrap();
        assert!(after.seen());
    }
}
