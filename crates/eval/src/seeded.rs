//! Random streams of tests.

use bauta_streams::{Purpose, RandomStream, StreamKey};

/// The stream of a test, by a name of its own.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}
