//! Random streams for tests.

use bauta_streams::{Purpose, RandomStream, StreamKey};

/// The random stream called `name`.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}
