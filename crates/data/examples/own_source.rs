//! A custom source: computed pictures, which the loader reads like any others.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use std::sync::Arc;

use bauta_data::{Augment, DataError, Image, Loader, LoaderConfig, Source, Statistics};

/// Rings around the middle, in two classes: few and many.
struct Rings(Vec<String>);

impl Source for Rings {
    fn len(&self) -> usize {
        1000
    }

    fn channels(&self) -> usize {
        1
    }

    fn classes(&self) -> &[String] {
        &self.0
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(index as u32 % 2)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let (side, width) = (48, if index.is_multiple_of(2) { 9.0 } else { 3.0 });
        let from_middle = |place: usize| place as f32 - side as f32 / 2.0;
        let ring = |pixel: usize| {
            let distance = from_middle(pixel / side).hypot(from_middle(pixel % side));
            (128.0 + 120.0 * ((distance + index as f32) / width).sin()) as u8
        };
        Ok(Image::new(side, side, 1, (0..side * side).map(ring).collect::<Vec<u8>>()))
    }

    fn describe(&self, index: usize) -> String {
        format!("ring #{index}")
    }

    fn statistics(&self) -> Statistics {
        Statistics::MNIST
    }
}

fn main() -> Result<(), DataError> {
    let source = Arc::new(Rings(vec!["few".to_owned(), "many".to_owned()]));
    let loader = Loader::new(source, Augment::default(), LoaderConfig::new(100, 32, 32))?;
    for batch in loader.batches(0..loader.steps_per_epoch(), |batch| batch) {
        let batch = batch?;
        let pixels = batch.pixels.bytes().expect("the source's samples are bytes");
        let mean = pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / pixels.len() as f64;
        println!("step {}: {:?}, mean {mean:.1}", batch.step, batch.pixels.dim());
    }
    Ok(())
}
