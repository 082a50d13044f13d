//! Parts per second that the generator creates and encodes, on every core.
//!
//! `cargo run --release -p bauta-brep --no-default-features --example parts_per_second`

#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::thread::{available_parallelism, scope};
use std::time::Instant;

use bauta_brep::Sampling;
use bauta_brep::generate::Parts;

const COUNT: u64 = 1000;

fn main() {
    let threads = available_parallelism().map_or(1, usize::from) as u64;
    let (parts, sampling) = (Parts { seed: 0 }, Sampling::default());
    for (what, targets) in [("solids", false), ("prepared parts", true)] {
        let start = Instant::now();
        let faces = scope(|scope| {
            let work = (0..threads).map(|thread| {
                scope.spawn(move || {
                    let own = (thread..COUNT).step_by(threads as usize);
                    own.map(|number| match targets {
                        true => parts.prepared(number, &sampling).map_or(0, |it| it.faces.len()),
                        false => parts.solid(number).graph.faces.len(),
                    })
                    .sum::<usize>()
                })
            });
            let work: Vec<_> = work.collect();
            work.into_iter().filter_map(|one| one.join().ok()).sum::<usize>()
        });
        let rate = COUNT as f64 / start.elapsed().as_secs_f64();
        println!("{rate:.0} {what} a second on {threads} threads, {faces} faces");
    }
}
