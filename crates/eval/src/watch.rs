//! Who watches a measurement that takes a while, and may end it.

use std::sync::atomic::{AtomicBool, Ordering};

use bauta_train::Event;

use crate::EvalError;

/// Is told what a measurement does, and can end it early.
///
/// A flag alone is a watch, too: it shows nothing.
pub trait Watch {
    /// Set to end it early.
    fn stop(&self) -> &AtomicBool;

    /// A part begins that takes a while, such as `features of 500 images: trained`.
    fn begin(&self, what: &str);

    /// Training, of `steps` optimiser steps in all, came to `event`.
    fn training(&self, event: &Event<'_>, steps: u64);
}

impl Watch for AtomicBool {
    fn stop(&self) -> &AtomicBool {
        self
    }

    fn begin(&self, _what: &str) {}

    fn training(&self, _event: &Event<'_>, _steps: u64) {}
}

/// Refuses to go on once the watch has ended it.
pub(crate) fn go_on(watch: &dyn Watch) -> Result<(), EvalError> {
    match watch.stop().load(Ordering::Relaxed) {
        true => Err(EvalError::Stopped),
        false => Ok(()),
    }
}
