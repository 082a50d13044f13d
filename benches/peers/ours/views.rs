//! Two views of each image of a batch, on one core: random resized crops with MoCo v2's colour
//! changes, of images in memory.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use bauta_data::{Augment, Augmenter, Colours, Image};
use bauta_streams::{Purpose, StreamKey};

use crate::{Measurement, Setting};

const IMAGES: u64 = 32;

/// Times batches; the variant is the side of the views, from images of that size or from photos.
pub fn measure(variant: &str, setting: &Setting) -> Result<Measurement> {
    let side: usize = variant.parse()?;
    let [height, width] = if side == 32 { [32, 32] } else { [375, 500] };
    let pixels: Vec<u8> =
        (0..height * width * 3).map(|i| (i * 37 % 251) as u8 ^ (i / 7) as u8).collect();
    let image = Image::new(height, width, 3, pixels);
    let augment = Augment { colours: Some(Colours::default()), ..Augment::default() };
    let augmenter = Augmenter::new(&augment, 3, side, side)?;
    let mut planes = vec![0; 3 * side * side];
    let mut seconds = Vec::new();
    // The first batch warms up.
    for epoch in 0..=setting.steps as u64 {
        let start = Instant::now();
        for sample in 0..IMAGES {
            for view in ["first view", "second view"] {
                let key = StreamKey { seed: 0, purpose: Purpose::named(view), epoch, sample };
                augmenter.apply(&image, &mut key.stream(), &mut planes);
                black_box(&planes);
            }
        }
        if epoch > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(Measurement { seconds, unit: "images", items: IMAGES as usize, losses: None, work: None })
}
