//! Draws the masks of a clip with every strategy:
//! `cargo run -p bauta-masking --example clip_masks -- docs/systems/mae-st-masks.png`.
//!
//! One row per strategy, in the order of [`ROWS`], at the ratios of MAE-ST's table 2a; the eight
//! time steps, each of 14 × 14 tokens, are side by side. Visible tokens are light.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use bauta_masking::{Grid, MaskPlan, Strategy};

/// The strategies and their ratios.
const ROWS: [(Strategy, f64); 5] = [
    (Strategy::Random, 0.9),
    (Strategy::Tube, 0.9),
    (Strategy::Frame, 0.75),
    (Strategy::Block, 0.75),
    (Strategy::Grid, 0.75),
];

/// Side of a token, and gap between steps and between rows, in pixels.
const TOKEN: usize = 6;
const GAP: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "clip_masks.png".to_owned());
    let grid = Grid::new(8, 14, 14)?;
    let step = 14 * TOKEN + GAP;
    let (width, height) = (8 * step + GAP, ROWS.len() * step + GAP);
    let mut pixels = vec![255_u8; width * height];
    for (row, (name, ratio)) in ROWS.into_iter().enumerate() {
        let plan = MaskPlan::draw(&*name.build(grid, ratio)?, 0, 0, &[0])?;
        for (token, masked) in plan.mask().into_iter().enumerate() {
            let (time, place) = (token / 196, token % 196);
            let top = GAP + row * step + place / 14 * TOKEN;
            let left = GAP + time * step + place % 14 * TOKEN;
            for y in top..top + TOKEN - 1 {
                let line = y * width + left;
                pixels[line..line + TOKEN - 1].fill(if masked == 1.0 { 60 } else { 220 });
            }
        }
    }
    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(path)?), width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}
