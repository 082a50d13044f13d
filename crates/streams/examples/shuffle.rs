//! Prints the order of some epochs: the same on any machine, in any process and in any order of
//! calls.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use bauta_streams::{Purpose, StreamKey};

fn main() {
    for epoch in [2, 0, 1] {
        let purpose = Purpose::named("order of an epoch");
        let mut order: Vec<u32> = (0..10).collect();
        StreamKey { seed: 7, purpose, epoch, sample: 0 }.stream().shuffle(&mut order);
        println!("epoch {epoch}: {order:?}");
    }
}
