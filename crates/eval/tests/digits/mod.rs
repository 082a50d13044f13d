//! Generated digits: ten classes that are distinguished by a bright bar.

use std::sync::Arc;

use bauta_data::{InMemory, Source, Statistics};

/// `count` greyscale images of 8 × 8 pixels, classes in turn; the bar's position is the class.
pub fn digits(count: u32) -> Arc<dyn Source> {
    let mut pixels = Vec::new();
    for image in 0..count {
        let class = image % 10;
        pixels.extend((0..64).map(|place| {
            let (row, column) = (place / 8, place % 8);
            let bar = if class < 5 { row == class + 1 } else { column == class - 4 };
            let noise = (image * 31 + place * 17) % 40;
            (if bar { 200 + noise } else { noise }) as u8
        }));
    }
    let labels = (0..count).map(|image| (image % 10) as u8).collect();
    let classes = (0..10).map(|class| format!("bar {class}")).collect();
    let statistics = Statistics::MNIST;
    let source = InMemory::new("digits", [8, 8, 1], pixels, labels, classes, statistics);
    Arc::new(source.expect("ten classes of whole images"))
}
